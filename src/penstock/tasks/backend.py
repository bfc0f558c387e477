"""How a value gets from one node to the next, and news of the work to the driver, in each kind of scheduler.

Work asks its `Handover`: do values leave this process, must readers of one value be kept apart by copies, may I be run again,
where am I, whom do I tell, where does what I say go, is the run over, and how does an error get home. `SameProcess` serves the synchronous and the threaded scheduler; the handovers of processes
and clusters stand beside their runners' transport.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from penstock.tasks.exceptions import carried
from penstock.runner.processes.logs import current_channel
from penstock.logs.current_node import AT_WORK

if TYPE_CHECKING:
    from penstock.logs.capture import Channel


class Event(NamedTuple):
    """News of one piece of work that is done; plain values only, so that any wire carries it."""

    kind: str
    """`load`, `call`, `save` or `confirm`."""
    node: str
    dataset: str
    """The dataset that was loaded, saved or confirmed; empty for a call."""
    where: str
    start: float
    """Seconds since the epoch, on the clock of the machine that did it."""
    load_seconds: float
    call_seconds: float
    save_seconds: float


Listener = Callable[[Event], None]


class Handover(Protocol):
    """What work has to know of the scheduler that runs it."""

    @property
    def leaves_process(self) -> bool:
        """Whether tasks are pickled and run elsewhere."""

    @property
    def copies(self) -> bool:
        """Whether two readers of one value may be given the same object, so that copies have to keep them apart."""

    @property
    def may_repeat(self) -> bool:
        """Whether a task may be run again with the same inputs, because a worker died."""

    def where(self) -> str:
        """The thread, process or worker that this is called on."""

    def tell(self, event: Event) -> None:
        """Send news to the driver."""

    def channel(self) -> Channel | None:
        """The way to the driver for what nodes log and print in this process; None where they say it for themselves."""

    def is_over(self) -> bool:
        """Whether the run has been stopped while this task goes on, so that it need not try again."""

    def raised(self, error: BaseException, task: str) -> BaseException:
        """What to raise in place of `error` so that it gets home."""


class SameProcess:
    """Values are handed over as the objects that they are.

    Args:
        listener: Is told each event at once, on the thread where it happens.
    """

    leaves_process = False
    copies = True
    may_repeat = False

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._has_failed = False
        # A run inside a node says what it says by way of that node.
        self._outer = AT_WORK.get()

    def where(self) -> str:
        """The name of the thread."""
        return threading.current_thread().name

    def tell(self, event: Event) -> None:
        """Call the listener."""
        if self._outer is not None:
            finish(self, event.node)
        if self._listener is not None:
            self._listener(event)

    def channel(self) -> Channel | None:
        """That of the node which this run is a part of, if any."""
        return self._outer.context.handover.channel() if self._outer is not None else None

    def is_over(self) -> bool:
        """Whether some task has failed, or the run was interrupted."""
        return self._has_failed

    def end(self) -> None:
        """Nothing is tried again."""
        self._has_failed = True

    def raised(self, error: BaseException, task: str) -> BaseException:  # noqa: ARG002 - the protocol's
        """The error as it is."""
        if self._outer is not None:
            finish(self)
        self._has_failed = True
        return error


class Processes:
    """Values leave as pickles and arrive as new objects; news rides home with the result of the task.

    Args:
        listener: Who is told in the driver; it does not travel.
    """

    leaves_process = True
    copies = False
    may_repeat = False

    def __init__(self, listener: Listener | None = None) -> None:
        self.listener = listener

    def __reduce__(self) -> tuple[type[Processes], tuple[()]]:
        return Processes, ()

    def where(self) -> str:
        """The process id."""
        return f"process {os.getpid()}"

    def tell(self, event: Event) -> None:
        """Keep the event until this task's result is sent."""
        finish(self, event.node)
        _news.append(event)

    def channel(self) -> Channel | None:
        """A file that the driver reads."""
        return current_channel()

    def is_over(self) -> bool:
        """Whether the driver has said so."""
        channel = current_channel()
        return channel is not None and channel.is_over()

    def raised(self, error: BaseException, task: str) -> BaseException:
        """The error packed for the way home."""
        finish(self)
        return carried(error, task)


def finish(handover: Handover, node: str = "") -> None:
    """Send the lines that a node has begun; by default those of the node which works on this thread."""
    channel, work = handover.channel(), AT_WORK.get()
    if channel is not None:
        channel.finish(node or (work.node.name if work is not None else ""))


_news: list[Event] = []


def take_news() -> list[Event]:
    """The events told in this process since the last time somebody asked."""
    news = _news.copy()
    _news.clear()
    return news
