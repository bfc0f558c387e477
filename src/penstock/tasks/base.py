"""One task of the graph: it does its work, reports it to the driver, and says where it failed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock._pickling import reduce_dataclass
from penstock.hooks import NO_HOOKS, Hooks
from penstock.io.kedro_objects import release_file_cache
from penstock.logs.current_node import CURRENT_NODE, CurrentNode
from penstock.tasks.backend import Context, Event
from penstock.tasks.exceptions import add_note

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike, NodeLike
    from penstock.tasks.node_steps import Seconds


@dataclass(eq=False, slots=True)
class Work:
    """One task of the graph. `str()` of it says what it does, in words for an error."""

    context: Context
    node: NodeLike
    __reduce__ = reduce_dataclass
    reads = True
    """Whether it looks at the values that it is called with; if not, they only say that it may start."""

    def __call__(self, *values: Data, hooks: Hooks = NO_HOOKS) -> Data:
        """Do the work and tell the driver, or raise what went wrong with a note of where it did."""
        started = time.time()
        backend = self.context.backend
        home = None
        node = CURRENT_NODE.set(CurrentNode(self.node.name, backend.channel()))
        try:
            result, seconds = self.do(values, hooks)
        except BaseException as error:
            # An exit, too: it would end the worker, and everybody's work on it.
            add_note(error, f"Raised in {self}, on {backend.worker_name()}.")
            home = backend.exception_for_driver(error, str(self))
            if home is error:
                raise
        finally:
            CURRENT_NODE.reset(node)
        if home is not None:
            # Raised here, where it has no context: Dask would pickle that, too, and may not be able to.
            raise home
        if seconds is not None:
            backend.report(
                Event(self.kind, self.node.name, self.dataset, backend.worker_name(), started, *seconds)
            )
        return result

    def __dask_tokenize__(self) -> tuple[str, ...]:
        """What tells it from other work of its run: Dask hashes each graph that it sends, and would look into all that it holds."""
        return type(self).__name__, self.node.name, self.dataset

    kind = ""

    if TYPE_CHECKING:

        @property
        def dataset(self) -> str:
            """What is loaded, saved or picked; empty where it is not one dataset."""

    def forget(self, dataset: DatasetLike) -> None:
        """Before a load: what this process knows of the store may be of an earlier run, if it is not the driver's."""
        if self.context.backend.leaves_process:
            release_file_cache(dataset)

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds | None]:
        """The result, and the seconds spent to load, to call and to save; None if nothing is to be told."""
        raise NotImplementedError
