"""In a worker process: what nodes log and print is caught and goes to the driver, all else stays as it is.

A node that speaks is found by `AT_WORK`, and the way to its driver by the handover of its work. Its records are judged by the
driver's levels, and handled by the driver's handlers in place of those of this process, so that nothing appears twice; what it
prints goes to the driver's streams as it is, line by line. The loggers themselves are left alone, since several runs may share a
process: what is replaced is the place in `logging.Logger` where a record meets a level, and where it meets its handlers.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from penstock.logs.records import packed
from penstock.logs.current_node import AT_WORK, is_dasks, nodes_named

if TYPE_CHECKING:
    from penstock.logs.records import Levels, Message
    from penstock.tasks.dataset_tasks import Work

LONGEST_LINE = 100_000
"""Characters after which a line is sent although it goes on."""

STREAMS = ("stdout", "stderr")


class Channel:
    """The way from a worker process to the driver of a run; a subclass gives `send`.

    Args:
        levels: What the driver wants to hear of.
    """

    def __init__(self, levels: Levels) -> None:
        self.levels = levels
        # What is printed may print something itself, when it is turned into text or collected.
        self._lock = threading.RLock()
        self._begun: dict[tuple[str, str], str] = {}

    def renew_lock(self) -> None:
        """In a fork of the process, where nobody lets go of the lock that another thread held."""
        self._lock = threading.RLock()

    def send(self, message: Message) -> None:
        """Have the driver get the message, after those that were sent before."""
        raise NotImplementedError

    def only_work(self) -> Work | None:
        """The one piece of the run's work that goes on in this process; None if there are several, or it cannot be told.

        For threads that nodes have started, which do not know whose they are.
        """
        return None

    def write(self, stream: str, node: str, text: str) -> None:
        """Send the lines that are complete with this text; the rest waits for its end, a flush, or the end of the node."""
        with self._lock:
            text = self._begun.pop((stream, node), "") + text
            end = len(text) if len(text) > LONGEST_LINE else text.rfind("\n") + 1
            if end:
                self.send((stream, text[:end]))
            if text[end:]:
                self._begun[stream, node] = text[end:]

    def flush_line(self, stream: str, node: str) -> None:
        """Send the line that a node has begun, if it has."""
        with self._lock:
            text = self._begun.pop((stream, node), "")
            if text:
                self.send((stream, text))

    def finish(self, node: str) -> None:
        """Send all that a node has begun."""
        for stream in STREAMS:
            self.flush_line(stream, node)


_open: list[Channel] = []
_lock = threading.Lock()
_caught = contextlib.ExitStack()


def catch(channel: Channel) -> None:
    """From now on, what nodes say whose work has this channel goes there."""
    with _lock:
        if not _open:
            _caught.enter_context(nodes_named(_speaking))
            _caught.enter_context(_records_caught())
            for stream in STREAMS:
                _caught.enter_context(_stream_caught(stream))
        _open.append(channel)


def let_go(channel: Channel) -> None:
    """No more of it; with the last channel this process is as it was."""
    with _lock:
        _open.remove(channel)
        if not _open:
            _caught.close()


def _speaking() -> Work | None:
    """The work whose node speaks on this thread."""
    work = AT_WORK.get()
    if work is not None:
        return work
    found = [work for channel in list(_open) if (work := channel.only_work()) is not None]
    return found[0] if len(found) == 1 else None


def _way() -> tuple[Channel | None, str]:
    """The channel for what is said on this thread, and the node that says it."""
    work = _speaking()
    return (work.context.handover.channel(), work.node.name) if work is not None else (None, "")


@contextlib.contextmanager
def _records_caught() -> Iterator[None]:
    is_enabled_for, call_handlers = logging.Logger.isEnabledFor, logging.Logger.callHandlers

    def judged(self: logging.Logger, level: int) -> bool:
        channel = None if self.disabled or is_dasks(self.name) else _way()[0]
        return is_enabled_for(self, level) if channel is None else channel.levels.let_through(self, level)

    def handled(self: logging.Logger, record: logging.LogRecord) -> None:
        channel = None if is_dasks(self.name) else _way()[0]
        if channel is None:
            call_handlers(self, record)
            return
        try:
            channel.send(packed(record))
        except Exception:  # noqa: BLE001 - arguments that do not fit the text, for instance: told, as logging tells it
            _HANDLER.handleError(record)

    cls: Any = logging.Logger
    cls.isEnabledFor, cls.callHandlers = judged, handled
    try:
        yield
    finally:
        # Left if somebody has replaced them once more: they do nothing while no channel is open.
        if cls.isEnabledFor is judged:
            cls.isEnabledFor = is_enabled_for
        if cls.callHandlers is handled:
            cls.callHandlers = call_handlers


_HANDLER = logging.Handler()


@contextlib.contextmanager
def _stream_caught(name: str) -> Iterator[None]:
    real = getattr(sys, name)
    if real is None:
        yield
        return
    stream = _Stream(real, name)
    setattr(sys, name, stream)
    try:
        yield
    finally:
        if getattr(sys, name) is stream:
            setattr(sys, name, real)


class _Stream:
    """A standard stream whose text goes to the driver when a node writes it; in all else it is the stream of this process."""

    def __init__(self, real: Any, name: str) -> None:
        self._real = real
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, text: str) -> int:
        """Write the text."""
        channel, node = _way()
        if channel is None or not isinstance(text, str):
            written: int = self._real.write(text)
            return written
        channel.write(self._name, node, text)
        return len(text)

    def flush(self) -> None:
        """Have the reader see what was written."""
        channel, node = _way()
        if channel is None:
            self._real.flush()
        else:
            channel.flush_line(self._name, node)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write the lines."""
        for line in lines:
            self.write(line)
