"""The way of a node's log records and prints from a worker process to the driver."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.logs.records import Levels, Message

LONGEST_LINE = 100_000
"""Characters after which an unfinished line is sent."""

STREAMS = ("stdout", "stderr")


class Channel:
    """Sends log records and prints of one run's nodes from this process to the driver; a subclass gives `send`.

    Args:
        levels: The driver's log levels.
    """

    def __init__(self, levels: Levels) -> None:
        self.levels = levels
        # Reentrant, since turning an object into text, or freeing it, may print as well.
        self._lock = threading.RLock()
        self._begun: dict[tuple[str, str], str] = {}

    def renew_lock(self) -> None:
        """Replace the lock. Called in a fork of the process, where a lock that another thread held stays locked for good."""
        self._lock = threading.RLock()

    def send(self, message: Message) -> None:
        """Send a message to the driver; messages arrive in the order in which they were sent."""
        raise NotImplementedError

    def is_usable(self) -> bool:
        """Whether messages can be sent from this process, which may be a fork of the one that the channel was made in."""
        return True

    def only_node(self) -> str:
        """The name of the one node of the run that this process runs now; empty if there are several, or none.

        For threads that nodes start, which have no current node.
        """
        return ""

    def write(self, stream: str, node: str, text: str) -> None:
        """Send the lines that this text completes; keep the rest until its line ends, a flush, or the end of the node."""
        with self._lock:
            text = self._begun.pop((stream, node), "") + text
            end = len(text) if len(text) > LONGEST_LINE else text.rfind("\n") + 1
            if end:
                self.send((stream, text[:end]))
            if text[end:]:
                self._begun[stream, node] = text[end:]

    def flush_line(self, stream: str, node: str) -> None:
        """Send the unfinished line of a node, if there is one."""
        with self._lock:
            text = self._begun.pop((stream, node), "")
            if text:
                self.send((stream, text))

    def finish(self, node: str) -> None:
        """Send the unfinished lines of a node."""
        for stream in STREAMS:
            self.flush_line(stream, node)
