"""The hooks that plugins can implement, with their arguments. An implementation can take any subset of the arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, NodeLike, PipelineLike

PROJECT = "kedro"
"""pluggy finds implementations by this name: `hook_impl` marks a method with it."""

hook_impl = HookimplMarker(PROJECT)
"""Marks a method of a plugin as the implementation of the hook with its name."""

hook_spec = HookspecMarker(PROJECT)
"""Marks the declaration of a hook."""


class NodeSpecs:
    """Hooks around the call of a node. They fire on the worker that runs the node.

    Example:
        >>> import penstock
        >>> from penstock.hooks import hook_impl
        >>> from penstock.pipeline import node, pipeline
        >>> class Watch:
        ...     @hook_impl
        ...     def before_node_run(self, node, inputs):
        ...         print("before", node.name, inputs)
        ...     @hook_impl
        ...     def after_node_run(self, node, outputs):
        ...         print("after", node.name, outputs)
        ...     @hook_impl
        ...     def on_node_error(self, node, error):
        ...         print("error", node.name, repr(error))
        >>> count = pipeline([node(len, "text", "length", name="count")])
        >>> result = penstock.run(count, {"text": "abc"}, hooks=[Watch()])
        before count {'text': 'abc'}
        after count {'length': 3}
    """

    @hook_spec
    def before_node_run(
        self, node: NodeLike, catalog: CatalogLike, inputs: dict[str, Data], is_async: bool, run_id: str
    ) -> dict[str, Data] | None:
        """Fires after the inputs are loaded.

        Args:
            node: The node that will run.
            catalog: A catalog with the datasets of the node.
            inputs: The loaded data by dataset name.
            is_async: Whether the runner loads and saves in threads.
            run_id: The id of the run.

        Returns:
            New data by dataset name, which replaces these inputs; or None.
        """

    @hook_spec
    def after_node_run(
        self,
        node: NodeLike,
        catalog: CatalogLike,
        inputs: dict[str, Data],
        outputs: dict[str, Data],
        is_async: bool,
        run_id: str,
    ) -> None:
        """Fires after the node has returned, before its outputs are saved.

        Args:
            node: The node that ran.
            catalog: A catalog with the datasets of the node.
            inputs: The data that the node got, by dataset name.
            outputs: The data that the node returned, by dataset name.
            is_async: Whether the runner loads and saves in threads.
            run_id: The id of the run.
        """

    @hook_spec
    def on_node_error(
        self,
        error: Exception,
        node: NodeLike,
        catalog: CatalogLike,
        inputs: dict[str, Data],
        is_async: bool,
        run_id: str,
    ) -> None:
        """Fires after the node has raised an error, which is then passed on to the caller of the run.

        Args:
            error: The error of the node.
            node: The node that failed.
            catalog: A catalog with the datasets of the node.
            inputs: The data that the node got, by dataset name.
            is_async: Whether the runner loads and saves in threads.
            run_id: The id of the run.
        """


class DatasetSpecs:
    """Hooks around each load and save. They fire on the worker that loads or saves.

    Example:
        >>> import penstock
        >>> from penstock.hooks import hook_impl
        >>> from penstock.pipeline import node, pipeline
        >>> class Watch:
        ...     @hook_impl
        ...     def before_dataset_loaded(self, dataset_name, node):
        ...         print("load", dataset_name, "for", node.name)
        ...     @hook_impl
        ...     def after_dataset_loaded(self, dataset_name, data):
        ...         print("loaded", dataset_name, data)
        ...     @hook_impl
        ...     def before_dataset_saved(self, dataset_name, data):
        ...         print("save", dataset_name, data)
        ...     @hook_impl
        ...     def after_dataset_saved(self, dataset_name):
        ...         print("saved", dataset_name)
        >>> count = pipeline([node(len, "text", "length", name="count")])
        >>> result = penstock.run(count, {"text": "abc"}, hooks=[Watch()])
        load text for count
        loaded text abc
        save length 3
        saved length
    """

    @hook_spec
    def before_dataset_loaded(self, dataset_name: str, node: NodeLike) -> None:
        """Fires before a node loads the dataset.

        Args:
            dataset_name: The name of the dataset.
            node: The node.
        """

    @hook_spec
    def after_dataset_loaded(self, dataset_name: str, data: Data, node: NodeLike) -> None:
        """Fires after a node has loaded the dataset.

        Args:
            dataset_name: The name of the dataset.
            data: The loaded data.
            node: The node.
        """

    @hook_spec
    def before_dataset_saved(self, dataset_name: str, data: Data, node: NodeLike) -> None:
        """Fires before an output of a node is saved.

        Args:
            dataset_name: The name of the dataset.
            data: The data that will be saved.
            node: The node.
        """

    @hook_spec
    def after_dataset_saved(self, dataset_name: str, data: Data, node: NodeLike) -> None:
        """Fires after an output of a node is saved.

        Args:
            dataset_name: The name of the dataset.
            data: The saved data.
            node: The node.
        """


class PipelineSpecs:
    """Hooks around a whole run. `penstock.run` fires the first three in the driver; the `run` of a runner does not.

    Kedro's sessions fire `after_catalog_created` and `after_context_created`; Penstock only declares them.

    Example:
        >>> import penstock
        >>> from penstock.hooks import create_hook_manager, hook_impl
        >>> from penstock.pipeline import node, pipeline
        >>> class Watch:
        ...     @hook_impl
        ...     def before_pipeline_run(self, pipeline):
        ...         print("start", len(pipeline.nodes), "node")
        ...     @hook_impl
        ...     def after_pipeline_run(self, run_result):
        ...         print("end", list(run_result))
        ...     @hook_impl
        ...     def on_pipeline_error(self, error):
        ...         print("error", repr(error))
        ...     @hook_impl
        ...     def after_catalog_created(self, catalog):
        ...         print("catalog")
        ...     @hook_impl
        ...     def after_context_created(self, context):
        ...         print("context")
        >>> count = pipeline([node(len, "text", "length", name="count")])
        >>> result = penstock.run(count, {"text": "abc"}, hooks=[Watch()])
        start 1 node
        end ['length']
    """

    @hook_spec
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: PipelineLike, catalog: CatalogLike
    ) -> None:
        """Fires before the run starts.

        Args:
            run_params: The parameters of the run, among them `run_id`.
            pipeline: The pipeline that will run.
            catalog: The catalog of the run.
        """

    @hook_spec
    def after_pipeline_run(
        self,
        run_params: dict[str, Any],
        run_result: dict[str, Any],
        pipeline: PipelineLike,
        catalog: CatalogLike,
    ) -> None:
        """Fires after the run has succeeded.

        Args:
            run_params: The parameters of the run, among them `run_id`.
            run_result: The result of the run: the datasets of the outputs, by name.
            pipeline: The pipeline that ran.
            catalog: The catalog of the run.
        """

    @hook_spec
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], pipeline: PipelineLike, catalog: CatalogLike
    ) -> None:
        """Fires after the run has failed; the error is then passed on to the caller.

        Args:
            error: The error of the run.
            run_params: The parameters of the run, among them `run_id`.
            pipeline: The pipeline that ran.
            catalog: The catalog of the run.
        """

    @hook_spec
    def after_catalog_created(
        self,
        catalog: CatalogLike,
        conf_catalog: dict[str, Any],
        conf_creds: dict[str, Any],
        parameters: dict[str, Any],
        save_version: str,
        load_versions: dict[str, str],
    ) -> None:
        """Fires in Kedro's sessions only.

        Args:
            catalog: The catalog.
            conf_catalog: Its configuration.
            conf_creds: The configured credentials.
            parameters: The parameters of the project.
            save_version: The version under which versioned datasets are saved.
            load_versions: The versions that are loaded, by dataset name.
        """

    @hook_spec
    def after_context_created(self, context: Any) -> None:
        """Fires in Kedro's sessions only.

        Args:
            context: Kedro's context.
        """
