"""What every runner does: select, check, compile, execute, and put the outputs into the catalog.

A runner defines `get`; one whose tasks leave this process overrides `backend` and `execute` as well.
"""

from __future__ import annotations

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.graph.compile import compile_pipeline
from penstock.graph.datasets import check_inputs
from penstock.graph.keys import new_run_id
from penstock.graph.policies import checked_policies, policies_by_node, with_policies
from penstock.hooks import Hooks
from penstock.io.kedro_objects import pickling_caches_quietly
from penstock.io.memory import Deferred, MemoryDataset
from penstock.io.redaction import argument_text, without_secret_options
from penstock.logs.current_node import current_node_restored, naming_nodes
from penstock.runner.lifetime import Openable
from penstock.runner.missing import log_resume, missing_outputs, only_missing
from penstock.runner.preflight import (
    check_can_be_sent,
    check_confirms,
    checked_arguments,
    checked_flag,
    release_output_caches,
    warn_of_datasets,
    warn_of_no_nodes,
    warn_of_placements,
)
from penstock.runs.progress_bar import progress_bar
from penstock.runs.recorder import Recorder
from penstock.runs.result import Fetched, RunResult, put_outputs
from penstock.tasks.backend import Backend, Listener, LocalBackend
from penstock.tasks.exceptions import PackedError, unpack_error
from penstock.tasks.tracebacks import for_the_user

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike, PipelineLike
    from penstock.graph.plan import Plan
    from penstock.graph.policies import Policies
    from penstock.tasks.policy import NodePolicy


class AbstractRunner(Openable, ABC):
    """Runs pipelines; the base class of all runners. A subclass defines `get`, which runs a Dask graph.

    Args:
        is_async: Each node loads its inputs at the same time and saves its outputs at the same time, in threads.
        policies: How nodes run: a `NodePolicy`, or a dict of its fields, by the name of a node, a namespace or a tag.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        RunnerError: An argument is not of its type, or a policy makes no sense.

    Example:
        >>> import dask.threaded
        >>> class MyRunner(AbstractRunner):
        ...     def get(self, graph, keys):
        ...         return dask.threaded.get(dict(graph), list(keys))
        >>> from penstock import DataCatalog
        >>> from penstock.pipeline import node, pipeline
        >>> double = node(lambda x: 2 * x, "x", "y", name="double")
        >>> MyRunner().run(pipeline([double]), DataCatalog({"x": 21}))["y"].load()
        42
    """

    is_async = False
    progress = False
    policies: Mapping[str, NodePolicy] = {}
    _is_synchronous = True
    _places_nodes = False
    """Whether `execute` follows the placement of a policy."""

    def __init__(
        self,
        is_async: bool = False,  # noqa: FBT001, FBT002 - the contract: usable positionally
        *,
        policies: Policies | None = None,
        progress: bool = False,
    ) -> None:
        self.is_async = checked_flag("is_async", is_async)
        self.policies = checked_policies(policies) if policies else {}
        self.progress = checked_flag("progress", progress)

    def __repr__(self) -> str:
        shown = without_secret_options(self._arguments())
        arguments = ", ".join(f"{name}={argument_text(value)}" for name, value in shown.items())
        text = f"{type(self).__module__}.{type(self).__qualname__}({arguments})"
        state = "" if self._lifetime is None else self._lifetime.text
        return f"<{text}, {state}>" if state else text

    def run(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike | Mapping[str, Any],
        hook_manager: Any = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,  # noqa: FBT001, FBT002 - the contract: usable positionally
        *,
        policies: Policies | None = None,
    ) -> RunResult:
        """Run the pipeline. When this returns or raises, no task of the run runs any more.

        Args:
            pipeline: The nodes to run: a `Pipeline`, or one of Kedro.
            catalog: Has the free inputs, and gets a dataset for each name that it lacks; or datasets and data by name.
            hook_manager: A pluggy manager; its node and dataset hooks fire where the nodes run.
            run_id: Passed to hooks; random by default.
            only_missing_outputs: Skip nodes whose stored outputs exist.
            policies: Policies for this run; they replace the runner's policies with the same key.

        Returns:
            The dataset of each output of the pipeline, by name. One that was not made again is there if it exists.

        Raises:
            RunnerError: An argument is not of its type, a policy makes no sense, or policies disagree; or the runner is closed. Nothing
                has run.
            MissingInputError: The catalog lacks free inputs. Nothing has run.
            SelectionError: A policy for this run names no node, namespace or tag. Nothing has run.
            CannotSendError: Nodes, datasets or plugins cannot be sent to other processes. Nothing has run.
            NodeError: A node failed in another process, and its exception could not be sent here.
            Exception: What a node, dataset or hook raised, with a note of where it happened.

        Example:
            >>> from penstock import DataCatalog, SequentialRunner
            >>> from penstock.pipeline import node, pipeline
            >>> double = node(lambda x: 2 * x, "x", "y", name="double")
            >>> SequentialRunner().run(pipeline([double]), DataCatalog({"x": 21}))["y"].load()
            42
        """
        try:
            is_partial = checked_flag("only_missing_outputs", only_missing_outputs)
            select = partial(only_missing, log=self._log) if is_partial else None
            return self._run(pipeline, catalog, hook_manager, run_id, select, policies)
        except BaseException as error:
            for_the_user(error, self._log)
            # A bare `raise` brings the frames back on Python 3.10.
            raise error  # noqa: TRY201

    def run_only_missing(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike | Mapping[str, Any],
        hook_manager: Any = None,
        run_id: str | None = None,
    ) -> RunResult:
        """Run only what is needed to make those outputs of the pipeline that do not exist.

        Data in a memory dataset exists. It raises the errors of `run`.

        Args:
            pipeline: As for `run`.
            catalog: As for `run`.
            hook_manager: As for `run`.
            run_id: As for `run`.

        Returns:
            As for `run`.

        Example:
            >>> from penstock import DataCatalog, SequentialRunner
            >>> from penstock.pipeline import node, pipeline
            >>> nodes = [node(len, "text", "length", name="count"), node(hex, "length", "code", name="encode")]
            >>> result = SequentialRunner().run_only_missing(pipeline(nodes), DataCatalog({"length": 255}))
            >>> result["code"].load(), [record.node for record in result.records]
            ('0xff', ['encode'])
        """
        try:
            return self._run(pipeline, catalog, hook_manager, run_id, missing_outputs)
        except BaseException as error:
            for_the_user(error, self._log)
            # A bare `raise` brings the frames back on Python 3.10.
            raise error  # noqa: TRY201

    def plan(
        self, pipeline: PipelineLike, catalog: CatalogLike | Mapping[str, Any], hook_manager: Any = None
    ) -> Plan:
        """The plan of a run: the Dask graph, and what each node loads and saves. Nothing is run, loaded or registered.

        Args:
            pipeline: The nodes to run.
            catalog: Has the free inputs.
            hook_manager: As for `run`.

        Returns:
            A plan to print, to look into, or to run with any Dask scheduler.

        Raises:
            MissingInputError: The catalog lacks free inputs.

        Example:
            >>> from penstock import DataCatalog, SequentialRunner
            >>> from penstock.pipeline import node, pipeline
            >>> runner = SequentialRunner()
            >>> plan = runner.plan(pipeline([node(len, "text", "length", name="count")]), DataCatalog({"text": "x"}))
            >>> print(plan)
            1 nodes in 1 tasks (1 call)
              1. count: takes text; keeps length
            Read from the catalog:  text
            Saved:                  nothing
            Given back in memory:   length
            >>> [value.fetch() for value in runner.execute(plan, runner.backend())]
            [1]
        """
        catalog = checked_arguments(pipeline, catalog, hook_manager)
        hooks, backend = Hooks(hook_manager), self.backend()
        plan = compile_pipeline(pipeline, catalog, hooks=hooks, is_async=self.is_async, backend=backend)
        return with_policies(plan, self._policies_by_node(pipeline))

    @abstractmethod
    def get(self, graph: Mapping[str, Any], keys: Sequence[str]) -> Sequence[Data]:
        """Run a graph. This is the only method that a runner of your own has to define.

        Args:
            graph: A Dask graph.
            keys: Keys of the graph.

        Returns:
            The values of `keys`, in their order.
        """

    def backend(self, listener: Listener | None = None) -> Backend:
        """What the tasks of one run ask of the scheduler. A runner whose tasks leave this process overrides it.

        Args:
            listener: Called in this process with the event of each task.

        Returns:
            A new backend.
        """
        return LocalBackend(listener)

    def execute(self, plan: Plan, backend: Backend) -> list[Deferred]:  # noqa: ARG002
        """Run a plan. When this returns, no task of it runs any more.

        Args:
            plan: What to run.
            backend: The one that `backend` made for this run.

        Returns:
            The values of `plan.keys`, or of the first of them, which are `plan.outputs`.
        """
        return [Fetched(value) for value in self.get(plan.graph, plan.keys)]

    def create_default_dataset(self, name: str) -> DatasetLike:  # noqa: ARG002
        """The dataset for a name that the catalog lacks, registered before anything runs. Override it for another kind.

        Args:
            name: The dataset's name.

        Returns:
            An empty `MemoryDataset`.

        Example:
            >>> from penstock import SequentialRunner
            >>> SequentialRunner().create_default_dataset("clean").exists()
            False
        """
        return MemoryDataset()

    def create_default_data_set(self, name: str) -> DatasetLike:
        """The older name of `create_default_dataset`."""
        return self.create_default_dataset(name)

    # One run

    def _run(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike | Mapping[str, Any],
        hook_manager: Any,
        run_id: str | None,
        select: Callable[[PipelineLike, CatalogLike], PipelineLike] | None,
        policies: Policies | None = None,
    ) -> RunResult:
        started = time.perf_counter()
        catalog = checked_arguments(pipeline, catalog, hook_manager)
        self._kept()
        warn_of_no_nodes(pipeline, self._log)
        by_node = self._policies_by_node(pipeline, policies)
        asked = pipeline.outputs()
        pipeline = select(pipeline, catalog) if select is not None else pipeline
        datasets = self._register(pipeline, catalog)
        run_id = run_id or new_run_id()
        hooks = Hooks(hook_manager)
        recorder = Recorder(pipeline, catalog, datasets, self._log)
        backend = self.backend(recorder)
        if backend.leaves_process:
            check_can_be_sent(pipeline, catalog, hooks)
            release_output_caches(pipeline, catalog)
        plan = compile_pipeline(
            pipeline, catalog, hooks=hooks, run_id=run_id, is_async=self.is_async, backend=backend
        )
        if by_node:
            plan = with_policies(plan, by_node)
        self._log_start(plan)
        recorder.expect(plan)
        try:
            with (
                current_node_restored(),
                naming_nodes(),
                self._bar(pipeline, recorder),
                pickling_caches_quietly(),
            ):
                values = self._execute(plan, backend)
            outputs = put_outputs(asked, plan, values, catalog)
            recorder.check()
        except BaseException:
            log_resume(pipeline, catalog, recorder.finished, recorder.begun | backend.begun, self._log)
            raise
        seconds = time.perf_counter() - started
        self._log.info("Pipeline finished: %d nodes in %.1f s", len(pipeline.nodes), seconds)
        return RunResult(
            outputs,
            producers={name: node.name for node in pipeline.nodes for name in node.outputs},
            records=recorder.records,
            run_id=run_id,
            seconds=seconds,
        )

    def _policies_by_node(
        self, pipeline: PipelineLike, policies: Policies | None = None
    ) -> Mapping[str, NodePolicy]:
        """The policy of each node that has one; policies of this run come before policies of the runner."""
        if not (self.policies or policies):
            return {}
        return policies_by_node(pipeline.nodes, self.policies, checked_policies(policies))

    def _bar(self, pipeline: PipelineLike, recorder: Recorder) -> contextlib.AbstractContextManager[None]:
        return progress_bar(pipeline, recorder) if self.progress else contextlib.nullcontext()

    def _register(self, pipeline: PipelineLike, catalog: CatalogLike) -> dict[str, DatasetLike | None]:
        """All datasets by name, registered before any node starts, since two tasks could make the same one at the same time."""
        check_inputs(pipeline, catalog)
        warn_of_datasets(pipeline, catalog, self._log)
        own_default, datasets = self._own_default(), {}
        for name in sorted(pipeline.datasets()):
            if own_default is not None and name not in catalog:
                catalog[name] = own_default(name)
            datasets[name] = catalog.get(name, fallback_to_runtime_pattern=True)
        check_confirms(pipeline.nodes, catalog)
        return datasets

    def _own_default(self) -> Callable[[str], DatasetLike] | None:
        """The method that a subclass overrides `create_default_dataset` with, under either name; None if it does not."""
        for name in ("create_default_dataset", "create_default_data_set"):
            if getattr(type(self), name) is not getattr(AbstractRunner, name):
                method: Callable[[str], DatasetLike] = getattr(self, name)
                return method
        return None

    def _execute(self, plan: Plan, backend: Backend) -> list[Deferred]:
        if not plan.keys:
            return []
        try:
            return self.execute(plan, backend)
        except PackedError as packed:
            error = unpack_error(packed, [node.func for node in plan.pipeline.nodes])
            if packed.node:
                backend.begun.add(packed.node)
        # Outside of `except`, or the packed error would be the context of the user's.
        raise error

    @property
    def _log(self) -> logging.Logger:
        return logging.getLogger(type(self).__module__)

    def _log_start(self, plan: Plan) -> None:
        if self._is_synchronous and not self.is_async:
            self._log.info(
                "Each node loads and saves its datasets one after the other; is_async=True does it at the same time"
            )
        self._log.info("Running %d nodes in %d tasks", len(plan.pipeline.nodes), len(plan.graph))
        if plan.policies and not self._places_nodes:
            warn_of_placements(plan.policies, type(self).__name__, self._log)

    def _kept(self) -> Any:
        """What the runner keeps; None if it is not open, or keeps nothing.

        Raises:
            RunnerError: The runner is closed, or was opened by the process that this one was forked from.
        """
        return None if self._lifetime is None else self._lifetime.kept(type(self).__name__)

    # repr

    def _arguments(self) -> dict[str, Any]:
        given = {"is_async": self.is_async, "policies": self.policies, "progress": self.progress}
        return {name: value for name, value in given.items() if value}
