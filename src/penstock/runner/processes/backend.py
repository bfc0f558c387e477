"""How work in worker processes of this machine reaches the driver."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from penstock.runner.processes.logs import current_channel
from penstock.tasks.backend import Event, Listener, send_unfinished_lines
from penstock.tasks.exceptions import pack_error

if TYPE_CHECKING:
    from penstock.logs.channel import Channel


class ProcessBackend:
    """Values leave as pickles and arrive as new objects; news rides home with the result of the task.

    Args:
        listener: Who is told in the driver; it does not travel.
    """

    leaves_process = True
    copies = False
    may_repeat = False

    def __init__(self, listener: Listener | None = None) -> None:
        self.listener = listener

    def __reduce__(self) -> tuple[type[ProcessBackend], tuple[()]]:
        return ProcessBackend, ()

    def worker_name(self) -> str:
        """The process id."""
        return f"process {os.getpid()}"

    def report(self, event: Event) -> None:
        """Keep the event until this task's result is sent."""
        send_unfinished_lines(self, event.node)
        _news.append(event)

    def channel(self) -> Channel | None:
        """A file that the driver reads."""
        return current_channel()

    def is_stopped(self) -> bool:
        """Whether the driver has said so."""
        channel = current_channel()
        return channel is not None and channel.is_over()

    def stop(self) -> None:
        """Nothing: the driver's log folder has the mark that workers look for."""

    def exception_for_driver(self, error: BaseException, task: str) -> BaseException:
        """The error packed for the way home."""
        send_unfinished_lines(self)
        return pack_error(error, task)


_news: list[Event] = []


def take_news() -> list[Event]:
    """The events told in this process since the last time somebody asked."""
    news = _news.copy()
    _news.clear()
    return news
