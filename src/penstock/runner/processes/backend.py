"""What tasks ask of the scheduler when they run in worker processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.runner.processes.logs import current_channel
from penstock.tasks.backend import Event, Listener, send_unfinished_lines
from penstock.tasks.exceptions import pack_error

if TYPE_CHECKING:
    from penstock.logs.channel import Channel


class ProcessBackend:
    """Values leave a worker as pickles and arrive as new objects; events travel to the driver with the result of their task.

    Args:
        listener: Called in the driver with each event. It stays in the driver.
    """

    leaves_process = True
    copies = False
    may_repeat = False

    def __init__(self, listener: Listener | None = None) -> None:
        self.listener = listener
        self.begun: set[str] = set()
        self.mark_as_stopped: Callable[[], None] | None = None
        """Leaves a mark that the workers of the run see. Set in the driver, while the run goes on."""

    def __reduce__(self) -> tuple[type[ProcessBackend], tuple[()]]:
        return ProcessBackend, ()

    def worker_name(self) -> str:
        """The process id."""
        return f"process {os.getpid()}"

    def report(self, event: Event) -> None:
        """Keep the event until the worker sends this task's result."""
        send_unfinished_lines(self, event.node)
        _events.append(event)

    def channel(self) -> Channel | None:
        """The log file of this worker for the run that it works for."""
        return current_channel()

    def is_stopped(self) -> bool:
        """Whether the driver has stopped the run, as a worker sees it."""
        channel = current_channel()
        return channel is not None and channel.is_stopped()

    def stop(self) -> None:
        """Called in the driver: have the workers begin nothing more of the run, and try nothing again."""
        if self.mark_as_stopped is not None:
            self.mark_as_stopped()

    def exception_for_driver(self, error: BaseException, task: str) -> BaseException:
        """The error, packed so that it arrives whole in the driver."""
        send_unfinished_lines(self)
        return pack_error(error, task)


_events: list[Event] = []


def take_events() -> list[Event]:
    """The events that tasks have reported in this process since the last call."""
    events = _events.copy()
    _events.clear()
    return events
