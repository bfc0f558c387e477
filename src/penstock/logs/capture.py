"""Captures what nodes log and print in a worker process, and sends it to the driver.

`CURRENT_NODE` has the node of a thread and its channel to the driver. Records of nodes are filtered by the driver's levels and
handled by the driver's handlers instead of this process's, so that nothing appears twice; prints go to the driver's streams, line by
line. All other output of the process stays as it is. Loggers are not touched, since several runs may share a process: while a
channel is open, `Logger.isEnabledFor` and `Logger.callHandlers` are replaced, and the two standard streams.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from penstock.logs.channel import STREAMS
from penstock.logs.current_node import CURRENT_NODE, CurrentNode, is_dask_logger, naming_nodes, replaced
from penstock.logs.records import record_message

if TYPE_CHECKING:
    from penstock.logs.channel import Channel

_open: list[Channel] = []
_lock = threading.Lock()
_replaced = contextlib.ExitStack()


def start_capture(channel: Channel) -> None:
    """Capture what nodes with this channel log and print in this process."""
    with _lock:
        if not _open:
            _replaced.enter_context(naming_nodes(_current_node))
            _capture_records()
            for name in STREAMS:
                stream = getattr(sys, name)
                if stream is not None:
                    _replaced.enter_context(replaced(sys, name, _Stream(stream, name)))
        _open.append(channel)


def stop_capture(channel: Channel) -> None:
    """Stop capturing for this channel; after the last channel, logging and streams are as they were."""
    with _lock:
        _open.remove(channel)
        if not _open:
            _replaced.close()


def _current_node() -> CurrentNode | None:
    """The node of this thread; on a thread that a node started, the only node that runs in this process."""
    node = CURRENT_NODE.get()
    if node is not None:
        return node if node.channel is None or node.channel.is_usable() else CurrentNode(node.name, None)
    found = [CurrentNode(name, channel) for channel in list(_open) if (name := channel.only_node())]
    return found[0] if len(found) == 1 else None


def _current_channel() -> Channel | None:
    node = _current_node()
    return None if node is None else node.channel


def _capture_records() -> None:
    is_enabled_for, call_handlers = logging.Logger.isEnabledFor, logging.Logger.callHandlers

    def filtered(self: logging.Logger, level: int) -> bool:
        channel = None if self.disabled or is_dask_logger(self.name) else _current_channel()
        return is_enabled_for(self, level) if channel is None else channel.levels.is_enabled(self, level)

    def sent(self: logging.Logger, record: logging.LogRecord) -> None:
        channel = None if is_dask_logger(self.name) else _current_channel()
        if channel is None:
            call_handlers(self, record)
            return
        try:
            channel.send(record_message(record))
        except Exception:  # noqa: BLE001 - arguments that do not fit the text, for instance; logging prints such errors
            _HANDLER.handleError(record)

    # If another library wraps them, they stay, and change nothing while no channel is open.
    _replaced.enter_context(replaced(logging.Logger, "isEnabledFor", filtered))
    _replaced.enter_context(replaced(logging.Logger, "callHandlers", sent))


_HANDLER = logging.Handler()


class _Stream:
    """A standard stream that sends what nodes write to the driver, and otherwise is the stream of this process."""

    def __init__(self, real: Any, name: str) -> None:
        self._real = real
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, text: str) -> int:
        """Write the text."""
        node = _current_node()
        if node is None or node.channel is None or not isinstance(text, str):
            written: int = self._real.write(text)
            return written
        node.channel.write(self._name, node.name, text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream; for a node, send its unfinished line."""
        node = _current_node()
        if node is None or node.channel is None:
            self._real.flush()
        else:
            node.channel.flush_line(self._name, node.name)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write the lines."""
        for line in lines:
            self.write(line)
