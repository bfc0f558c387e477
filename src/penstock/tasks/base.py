"""The base class of what tasks call: it does the work, reports it to the driver, and notes in an error where it was raised."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock._pickling import reduce_dataclass
from penstock.hooks.calls import NO_HOOKS, Hooks
from penstock.io.kedro_objects import release_file_cache
from penstock.logs.current_node import CURRENT_NODE, CurrentNode
from penstock.tasks.backend import Context, Event
from penstock.tasks.exceptions import add_note
from penstock.tasks.retries import with_retries

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike, NodeLike
    from penstock.tasks.node_steps import Seconds
    from penstock.tasks.policy import NodePolicy


# A named tuple made from a tuple, in half the time of a call with its fields: every task makes these.
_current_node: Callable[[tuple[Any, ...]], CurrentNode] = partial(tuple.__new__, CurrentNode)
_event: Callable[[tuple[Any, ...]], Event] = partial(tuple.__new__, Event)


@dataclass(eq=False, slots=True)
class Work:
    """The work of one task of the graph: Dask calls it. Errors name it by its `str()`."""

    context: Context
    node: NodeLike
    __reduce__ = reduce_dataclass
    uses_values = True
    """Whether it uses the values that it is called with; if not, they only mean that the tasks before it are done."""

    def __call__(self, *values: Data, hooks: Hooks = NO_HOOKS, policy: NodePolicy | None = None) -> Data:
        """Do the work and report it, or raise its error with a note of where it was raised."""
        started = time.time()
        backend = self.context.backend
        error_for_driver = None
        name = self.node.name
        node = CURRENT_NODE.set(_current_node((name, backend.channel())))
        try:
            do = self.do if policy is None else partial(self.do_with_retries, policy)
            result, seconds = do(values, hooks)
        except BaseException as error:
            # An exit, too: it would end the worker, and the work of other runs on it.
            add_note(error, f"Raised in {self}, on {backend.worker_name()}.")
            error_for_driver = backend.exception_for_driver(error, str(self))
            if error_for_driver is error:
                raise
        finally:
            CURRENT_NODE.reset(node)
        if error_for_driver is not None:
            # Raised here, where it has no context: Dask would pickle the context as well, and may fail.
            raise error_for_driver
        if seconds is not None:
            worker = backend.worker_name()
            backend.report(_event((self.kind, name, self.dataset, worker, started, *seconds)))
        return result

    def __dask_tokenize__(self) -> tuple[str, ...]:
        """Different from other work of its run. Dask hashes each graph that it sends, and would hash all that the work holds."""
        return type(self).__name__, self.node.name, self.dataset

    kind = ""

    if TYPE_CHECKING:

        @property
        def dataset(self) -> str:
            """The dataset that is loaded, saved or picked; empty if it is not one dataset."""

    def release_file_cache(self, dataset: DatasetLike) -> None:
        """Before a load in another process than the driver: that process may remember versions or files of an earlier run."""
        if self.context.backend.leaves_process:
            release_file_cache(dataset)

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds | None]:
        """The result, and the seconds to load, to call and to save; None for work that is not reported."""
        raise NotImplementedError

    def do_with_retries(
        self, policy: NodePolicy, values: tuple[Data, ...], hooks: Hooks
    ) -> tuple[Data, Seconds | None]:
        """The same, tried again as the policy says."""
        is_stopped = self.context.backend.is_stopped
        return with_retries(lambda _: self.do(values, hooks), policy, self, is_stopped)
