"""`Task`: runs one node without a graph."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.hooks import Hooks
from penstock.tasks.backend import Context, LocalBackend
from penstock.tasks.node_steps import (
    call_node,
    check_no_generators,
    confirm_datasets,
    load_dataset,
    load_in_threads,
    save_dataset,
    save_in_threads,
    save_streams,
)

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, NodeLike


@dataclass(eq=False, repr=False)
class Task:
    """Runs one node in this process: loads its inputs, calls it, saves its outputs, confirms; in this order. Can be called.

    Args:
        node: The node; kept as `node`.
        catalog: Has all datasets of the node; kept as `catalog`.
        is_async: Load the inputs at the same time and save the outputs at the same time, in threads.
        hook_manager: A pluggy manager whose node and dataset hooks fire.
        run_id: Passed to hooks.
        parallel: Has no effect; Kedro's `Task` takes it.

    Raises:
        InvalidNodeError: The node is a generator function and `is_async` is set; raised by `execute`.

    Example:
        >>> from penstock import DataCatalog, Task
        >>> from penstock.pipeline import node
        >>> catalog = DataCatalog({"text": "penstock"})
        >>> catalog["length"] = 0
        >>> Task(node(len, "text", "length", name="count"), catalog).execute().name
        'count'
        >>> catalog.load("length")
        8
    """

    node: NodeLike
    catalog: CatalogLike
    is_async: bool = False
    hook_manager: Any = None
    run_id: str | None = None
    parallel: bool = False

    def __call__(self) -> NodeLike:
        """The same as `execute`."""
        return self.execute()

    def run(self) -> NodeLike:
        """The same as `execute`.

        Returns:
            The node.

        Example:
            >>> from penstock import DataCatalog, Task
            >>> from penstock.pipeline import node
            >>> Task(node(print, "text", None, name="show"), DataCatalog({"text": "penstock"})).run().name
            penstock
            'show'
        """
        return self.execute()

    def execute(self) -> NodeLike:
        """Run the node.

        Returns:
            The node, after its outputs are saved.

        Raises:
            Exception: What the node, a dataset or a hook raised.

        Example:
            >>> from penstock import DataCatalog, Task
            >>> from penstock.pipeline import node
            >>> Task(node(print, "text", None, name="show"), DataCatalog({"text": "penstock"})).execute().name
            penstock
            'show'
        """
        if self.is_async:
            check_no_generators([self.node])
        hooks = Hooks(self.hook_manager)
        context = Context(LocalBackend(), self.run_id, self.is_async)
        outputs = call_node(self.node, self._loaded(hooks), self.catalog, hooks, context)
        self._save(outputs, hooks)
        confirm_datasets(self.catalog, self.node)
        return self.node

    def _loaded(self, hooks: Hooks) -> dict[str, Data]:
        load = partial(load_dataset, self.catalog.load, node=self.node, hooks=hooks)
        if self.is_async:
            return load_in_threads(load, self.node.inputs)
        return {name: load(name) for name in self.node.inputs}

    def _save(self, outputs: dict[str, Data], hooks: Hooks) -> None:
        if self.is_async:
            save_in_threads(self.catalog.save, outputs, self.node, hooks)
        elif inspect.isgeneratorfunction(self.node.func):
            save_streams(self.catalog.save, outputs, self.node, hooks)
        else:
            for name in self.node.outputs:
                save_dataset(self.catalog.save, name, outputs[name], self.node, hooks)
