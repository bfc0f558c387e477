"""What nodes say in worker processes of this machine, on its way to the driver: each worker writes a file, the driver reads it.

A file keeps what was written before a worker was killed, and nobody waits for anybody. The driver reads every so often, and
before it takes note of a result, so that a node has said everything when it is told to be complete.
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
"""How soon the driver sees what a node says in the midst of its work."""

MOST_BYTES = 8 * 1024 * 1024
"""After so many bytes a worker begins another file, and the driver removes the one that it has read."""

_LEVELS = "levels"
_OVER = "over"
_NO_LOGS = (_LEVELS, _OVER)
_LENGTH_BYTES = 4


class FileChannel(Channel):
    """A worker's side.

    Args:
        folder: Of the run; has the driver's levels.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        super().__init__(_levels(self.folder / _LEVELS))
        self.spoke = False
        self.node = ""
        """The node that this process runs: one at a time."""
        self._number = 0
        self._file: Any = None

    def only_node(self) -> str:
        """The node that this process runs."""
        return self.node

    def send(self, message: Message) -> None:
        """Write the message; it is lost if there is no room for it."""
        frame = pickle.dumps(message, protocol=5)
        with self._lock, contextlib.suppress(OSError):
            if self._file is None or self._file.tell() > MOST_BYTES:
                self.close()
                self._number += 1
                # Each line is in the file when it is written, whatever becomes of this process.
                self._file = (self.folder / f"{os.getpid()}-{self._number:06}").open("ab", buffering=0)
            self._write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)
            self.spoke = True

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            # What was written of it is the end of this file, which nobody reads.
            self.close()
            raise

    def is_over(self) -> bool:
        """Whether the run has failed or was interrupted."""
        return (self.folder / _OVER).exists()

    def close(self) -> None:
        """Close the file, if there is one; the next message begins another."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _levels(path: Path) -> Levels:
    """The driver's levels; Python's own if somebody has tidied up meanwhile, which must not end the run."""
    with contextlib.suppress(OSError):
        levels: Levels = pickle.loads(path.read_bytes())
        return levels
    return Levels()


_current: FileChannel | None = None


def _renew_lock() -> None:
    """In a fork: the thread that holds the lock is not there, as with the locks of `logging`, which Python renews itself."""
    if _current is not None:
        _current.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def current_channel() -> FileChannel | None:
    """That of the run for which this process works."""
    return _current


def start_node(folder: str, node: str) -> None:
    """Capture the logs of a node that this process is about to run, for the run with this folder."""
    global _current  # noqa: PLW0603 - a process works for one run at a time
    if _current is None or str(_current.folder) != folder:
        if _current is not None:
            stop_capture(_current)
            _current.close()
        _current = FileChannel(folder)
        start_capture(_current)
    _current.node = node


def has_spoken() -> bool:
    """Whether nodes have said anything in this process since this was asked."""
    channel = _current
    spoke = channel is not None and channel.spoke
    if channel is not None:
        channel.spoke, channel.node = False, ""
    return spoke


class Hearing:
    """The driver's side.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._read: dict[str, int] = {}

    def end(self) -> None:
        """Tell the workers that the run is over, so that nothing is tried again."""
        with contextlib.suppress(OSError):
            (self.folder / _OVER).touch()

    def read(self) -> None:
        """Deliver all that is there and has not been read; nothing if somebody has tidied up meanwhile."""
        with self._lock, contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            sizes = sorted((each.name, each.stat().st_size) for each in entries if each.name not in _NO_LOGS)
            for (name, size), (following, _) in zip(sizes, [*sizes[1:], ("", 0)], strict=False):
                # Its worker writes no more to it, but may have done so since the size was asked.
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
        """Read every so often."""
        while not is_over.wait(READ_SECONDS):
            self.read()


@contextlib.contextmanager
def heard(folder: Path) -> Iterator[Hearing]:
    """While this is open, what nodes say is delivered here; all of it when it is left.

    Args:
        folder: Is made.
    """
    folder.mkdir(mode=0o700)
    (folder / _LEVELS).write_bytes(pickle.dumps(Levels.here()))
    hearing, is_over = Hearing(folder), threading.Event()
    try:
        with background_thread(lambda: hearing.read_until(is_over), "penstock-logs", is_over.set):
            yield hearing
    finally:
        hearing.read()
