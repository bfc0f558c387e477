"""The interface between tasks and the scheduler that runs them: `Backend`, and `LocalBackend` for threads of this process.

The backends of worker processes and of clusters are in the packages of their runners.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from penstock._pickling import reduce_dataclass
from penstock.logs.current_node import CURRENT_NODE

if TYPE_CHECKING:
    from penstock.logs.channel import Channel


class Event(NamedTuple):
    """A report of a finished task: plain values only, so that every kind of message can carry it."""

    kind: str
    """`load`, `call`, `save` or `confirm`."""
    node: str
    dataset: str
    """The dataset that was loaded, saved or confirmed; empty for a call."""
    worker: str
    """The thread, process or cluster worker that ran the task."""
    start: float
    """Seconds since the epoch, on the clock of the worker's machine."""
    load_seconds: float
    call_seconds: float
    save_seconds: float


Listener = Callable[[Event], None]


class Backend(Protocol):
    """The scheduler, as tasks see it. Each run has one; it is pickled with the tasks if these leave this process."""

    @property
    def leaves_process(self) -> bool:
        """Whether tasks are pickled and run in other processes."""

    @property
    def copies(self) -> bool:
        """Whether two readers of one value may get the same object, so that each needs a copy."""

    @property
    def may_repeat(self) -> bool:
        """Whether a task may run again with the same inputs, because a worker died."""

    @property
    def listener(self) -> Listener | None:
        """Called in the driver with the event of each task; None if there is no listener, and always None in other processes."""

    @property
    def begun(self) -> set[str]:
        """The names of the nodes that were running when the run failed, as far as the driver knows."""

    def worker_name(self) -> str:
        """The thread, process or cluster worker that this is called on."""

    def report(self, event: Event) -> None:
        """Send the event of a task to the listener."""

    def channel(self) -> Channel | None:
        """The channel that sends log records and prints of nodes to the driver; None if this process handles them itself."""

    def is_stopped(self) -> bool:
        """Whether the run has failed or was interrupted, so that a task should not be retried."""

    def stop(self) -> None:
        """Make `is_stopped` true for tasks that still run. The driver calls this when the run has failed."""

    def exception_for_driver(self, error: BaseException, task: str) -> BaseException:
        """The exception that the task raises in place of `error`: one that can reach the driver."""


class LocalBackend:
    """Tasks run in threads of this process and hand over the objects themselves.

    Args:
        listener: Called with each event, on the thread of the task.
    """

    leaves_process = False
    copies = True
    may_repeat = False

    def __init__(self, listener: Listener | None = None) -> None:
        self.listener = listener
        self.begun: set[str] = set()
        self._is_stopped = False
        # A run inside a node sends its log records to the channel of that node.
        self._outer = CURRENT_NODE.get()

    def worker_name(self) -> str:
        """The name of the thread."""
        return threading.current_thread().name

    def report(self, event: Event) -> None:
        """Call the listener."""
        if self._outer is not None:
            send_unfinished_lines(self, event.node)
        if self.listener is not None:
            self.listener(event)

    def channel(self) -> Channel | None:
        """The channel of the node that this run is inside of; None if it is inside of no node."""
        return self._outer.channel if self._outer is not None else None

    def is_stopped(self) -> bool:
        """Whether a task has failed, or the run was interrupted."""
        return self._is_stopped

    def stop(self) -> None:
        """Make `is_stopped` true."""
        self._is_stopped = True

    def exception_for_driver(self, error: BaseException, task: str) -> BaseException:  # noqa: ARG002 - the protocol's
        """The error as it is."""
        if self._outer is not None:
            send_unfinished_lines(self)
        self._is_stopped = True
        current = CURRENT_NODE.get()
        if current is not None:
            self.begun.add(current.name)
        return error


def send_unfinished_lines(backend: Backend, node: str = "") -> None:
    """Send the unfinished lines that a node has printed; by default the node of this thread."""
    channel, current = backend.channel(), CURRENT_NODE.get()
    if channel is not None:
        channel.finish(node or (current.name if current is not None else ""))


@dataclass(frozen=True)
class Context:
    """The part that all tasks of a run share."""

    __reduce__ = reduce_dataclass
    backend: Backend
    run_id: str | None = None
    is_async: bool = False
