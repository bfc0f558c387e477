"""One node, by hand: what a runner does for each node of a pipeline, without a graph."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.graph.checks import refuse_generators
from penstock.hooks import Hooks
from penstock.tasks.backend import Context, LocalBackend
from penstock.tasks.node_steps import (
    call_node,
    confirm_datasets,
    load_at_once,
    load_dataset,
    save_at_once,
    save_dataset,
    save_streams,
)

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, NodeLike


class Task:
    """Loads a node's inputs from a catalog, calls the node, saves its outputs to the catalog, and confirms.

    Everything happens in the written order, in this process. A task is callable, too.

    Args:
        node: The node; public as `node`.
        catalog: Has all of its datasets; public as `catalog`.
        is_async: Inputs are loaded at once and outputs saved at once, in threads.
        hook_manager: A pluggy manager whose node and dataset hooks fire.
        run_id: What hooks are given.
        parallel: Kept for Kedro's sake; it changes nothing here.

    Raises:
        InvalidNodeError: A generator function with `is_async`; raised when the task is executed.
    """

    def __init__(
        self,
        node: NodeLike,
        catalog: CatalogLike,
        is_async: bool = False,  # noqa: FBT001, FBT002 - Kedro's signature
        hook_manager: Any = None,
        run_id: str | None = None,
        parallel: bool = False,  # noqa: FBT001, FBT002 - Kedro's signature
    ) -> None:
        self.node = node
        self.catalog = catalog
        self.is_async = is_async
        self.hook_manager = hook_manager
        self.run_id = run_id
        self.parallel = parallel

    def __call__(self) -> NodeLike:
        """The same as `execute`."""
        return self.execute()

    def run(self) -> NodeLike:
        """The node, when all is saved."""
        return self.execute()

    def execute(self) -> NodeLike:
        """The node, when all is saved.

        Raises:
            Exception: What the node, a dataset or a hook raised, as it is.
        """
        if self.is_async:
            refuse_generators([self.node])
        hooks = Hooks(self.hook_manager)
        context = Context(LocalBackend(), self.run_id, self.is_async)
        outputs = call_node(self.node, self._loaded(hooks), self.catalog, hooks, context)
        self._save(outputs, hooks)
        confirm_datasets(self.catalog, self.node)
        return self.node

    def _loaded(self, hooks: Hooks) -> dict[str, Data]:
        load = partial(load_dataset, self.catalog.load, node=self.node, hooks=hooks)
        if self.is_async:
            return load_at_once(load, self.node.inputs)
        return {name: load(name) for name in self.node.inputs}

    def _save(self, outputs: dict[str, Data], hooks: Hooks) -> None:
        if self.is_async:
            save_at_once(self.catalog.save, outputs, self.node, hooks)
        elif inspect.isgeneratorfunction(self.node.func):
            save_streams(self.catalog.save, outputs, self.node, hooks)
        else:
            for name in self.node.outputs:
                save_dataset(self.catalog.save, name, outputs[name], self.node, hooks)
