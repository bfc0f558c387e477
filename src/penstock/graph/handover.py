"""How a value gets from one node to the next, and news of the work to the driver, in each kind of scheduler.

Work asks its `Handover` four things: do values leave this process, must readers of one value be kept apart by copies,
where am I, and whom do I tell. `SameProcess` serves the synchronous and the threaded scheduler; the handovers of processes
and clusters stand beside their runners' transport.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

from penstock.graph.failures import carried


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

    def where(self) -> str:
        """The name of the thread."""
        return threading.current_thread().name

    def tell(self, event: Event) -> None:
        """Call the listener."""
        if self._listener is not None:
            self._listener(event)

    def is_over(self) -> bool:
        """Whether some task has failed."""
        return self._has_failed

    def raised(self, error: BaseException, task: str) -> BaseException:  # noqa: ARG002 - the protocol's
        """The error as it is."""
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
        _news.append(event)

    def is_over(self) -> bool:
        """Nobody tells these processes."""
        return False

    def raised(self, error: BaseException, task: str) -> BaseException:
        """The error packed for the way home."""
        return carried(error, task)


_news: list[Event] = []


def take_news() -> list[Event]:
    """The events told in this process since the last time somebody asked."""
    news = _news.copy()
    _news.clear()
    return news
