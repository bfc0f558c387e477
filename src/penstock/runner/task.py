"""`Task`: runs one node without a graph."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.hooks import Hooks
from penstock.tasks.backend import Context, LocalBackend
from penstock.tasks.bindings import InputBinding, OutputBinding
from penstock.tasks.call_tasks import AsyncCall, Bindings, Call, StreamCall
from penstock.tasks.node_steps import check_no_generators, confirm_datasets

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, NodeLike


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
        call = self._bindings()(self.node)
        call.catalog = self.catalog
        call.do((), Hooks(self.hook_manager))
        confirm_datasets(self.catalog, self.node)
        return self.node

    def _bindings(self) -> Bindings:
        """All datasets are in the catalog, none in a graph."""
        call_type: type[Call] = Call
        if self.is_async:
            check_no_generators([self.node])
            call_type = AsyncCall
        elif inspect.isgeneratorfunction(self.node.func):
            call_type = StreamCall
        names = self.node.inputs
        inputs = [
            InputBinding(catalog=self.catalog, times=names.count(name)) for name in dict.fromkeys(names)
        ]
        outputs = [OutputBinding(catalog=self.catalog) for _ in self.node.outputs]
        context = Context(LocalBackend(), self.run_id, self.is_async)
        return Bindings(context, call_type, tuple(inputs), tuple(outputs))
