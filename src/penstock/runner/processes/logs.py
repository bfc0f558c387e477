"""How log records and prints of nodes reach the driver from worker processes of this machine.

Each worker writes a file, which the driver reads: what a worker wrote before it was killed is there, and neither waits for the
other. The driver reads every 0.1 s, and before it reports a result, so that all that a node has said comes before its end.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock._threads import background_thread
from penstock.logs.capture import start_capture, stop_capture
from penstock.logs.channel import Channel
from penstock.logs.records import Levels, Message, deliver

READ_SECONDS = 0.1
"""The driver reads the files this often."""

MAX_FILE_BYTES = 8 * 1024 * 1024
"""A worker begins another file after this many bytes, and the driver removes the one that it has read."""

_LEVELS = "levels"
_STOPPED = "stopped"
_NO_LOGS = (_LEVELS, _STOPPED)
_LENGTH_BYTES = 4


class FileChannel(Channel):
    """The worker's side of one run.

    Args:
        folder: The run's folder for logs, in which the driver has written its log levels.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        super().__init__(_levels(self.folder / _LEVELS))
        self.has_sent = False
        """Whether a message was sent since `ended_node` was called last."""
        self.node = ""
        """The node that this process runs now."""
        self._number = 0
        self._file: Any = None

    def only_node(self) -> str:
        """The node that this process runs, if it runs one of this run."""
        return self.node

    def send(self, message: Message) -> None:
        """Write the message; it is lost if the disk is full."""
        pickled = pickle.dumps(message, protocol=5)
        frame = len(pickled).to_bytes(_LENGTH_BYTES, "big") + pickled
        with self._lock, contextlib.suppress(OSError):
            if self._file is None or self._file.tell() > MAX_FILE_BYTES:
                self.close()
                self._number += 1
                # Unbuffered: a message is in the file even if this process is killed next.
                self._file = (self.folder / f"{os.getpid()}-{self._number:06}").open("ab", buffering=0)
            if self._file.write(frame) < len(frame):
                # Half a message ends the file, and the driver ignores it.
                self.close()
            self.has_sent = True

    def is_stopped(self) -> bool:
        """Whether the run has failed or was interrupted."""
        return (self.folder / _STOPPED).exists()

    def has_ended(self) -> bool:
        """Whether the driver has removed the run's folder."""
        return not self.folder.exists()

    def close(self) -> None:
        """Close the file, if there is one. The next message begins another."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _levels(path: Path) -> Levels:
    """The driver's levels; Python's own if the file was removed meanwhile, which must not end the run."""
    with contextlib.suppress(OSError):
        levels: Levels = pickle.loads(path.read_bytes())
        return levels
    return Levels()


_channels: dict[str, FileChannel] = {}
"""By the folders of the runs that this process has worked for, as long as they go on."""

_current: FileChannel | None = None


def _renew_locks() -> None:
    """In a fork the thread that holds a lock does not exist. Python renews the locks of `logging` itself."""
    for channel in _channels.values():
        channel.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def current_channel() -> FileChannel | None:
    """The channel of the run that this process works for."""
    return _current


def started_node(folder: str, node: str) -> FileChannel:
    """The channel for a node that this process is about to run.

    Args:
        folder: The run's folder for logs.
        node: The name of the node.
    """
    global _current  # noqa: PLW0603 - a process runs one node at a time
    channel = _channels.get(folder)
    if channel is None:
        channel = _channels[folder] = FileChannel(folder)
        start_capture(channel)
    channel.node = node
    _current = channel
    return channel


def ended_node() -> bool:
    """Note the end of the node that this process ran; whether it has logged or printed anything."""
    channel = _current
    if channel is None:
        return False
    has_sent, channel.has_sent, channel.node = channel.has_sent, False, ""
    return has_sent


def close_channels_of_ended_runs() -> None:
    """Close the files of runs whose folders the driver has removed."""
    for folder, channel in list(_channels.items()):
        # Two threads call this, so only the one that removes the channel closes it.
        if channel.has_ended() and not channel.node and _channels.pop(folder, None) is not None:
            stop_capture(channel)
            channel.close()


class LogReader:
    """The driver's side of one run.

    Args:
        folder: The run's folder for logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._read: dict[str, int] = {}
        """How many bytes of each file have been read."""

    def mark_as_stopped(self) -> None:
        """Leave the mark by which workers see that the run has failed or was interrupted."""
        with contextlib.suppress(OSError):
            (self.folder / _STOPPED).touch()

    def read(self) -> None:
        """Deliver all messages that have not been read; none if the folder was removed meanwhile."""
        with self._lock, contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            sizes = sorted((each.name, each.stat().st_size) for each in entries if each.name not in _NO_LOGS)
            for (name, size), (following, _) in zip(sizes, [*sizes[1:], ("", 0)], strict=False):
                # Its worker has begun another file, but may have written to this one since its size was read.
                is_whole = name.partition("-")[0] == following.partition("-")[0]
                if is_whole or size > self._read.get(name, 0):
                    deliver(self._messages(self.folder / name))
                if is_whole:
                    (self.folder / name).unlink()

    def _messages(self, path: Path) -> Iterator[Message]:
        with path.open("rb") as file:
            file.seek(self._read.get(path.name, 0))
            while len(head := file.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
                size = int.from_bytes(head, "big")
                frame = file.read(size)
                if len(frame) < size:
                    return
                self._read[path.name] = file.tell()
                yield pickle.loads(frame)

    def read_until(self, is_over: threading.Event) -> None:
        """Read every `READ_SECONDS`."""
        while not is_over.wait(READ_SECONDS):
            self.read()


@contextlib.contextmanager
def reading_logs(folder: Path) -> Iterator[LogReader]:
    """Deliver what nodes log and print, while the block runs; all of it when the block ends.

    Args:
        folder: The run's folder for logs, which is made here.
    """
    folder.mkdir(mode=0o700)
    (folder / _LEVELS).write_bytes(pickle.dumps(Levels.here()))
    reader, is_over = LogReader(folder), threading.Event()
    try:
        with background_thread(lambda: reader.read_until(is_over), "penstock-logs", is_over.set):
            yield reader
    finally:
        reader.read()
