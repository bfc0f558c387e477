"""Values handed from process to process through files in memory, so that they never pass through the driver.

The worker that makes a value pickles it with protocol 5 (PEP 574), which leaves large buffers out of the pickle. A small
one goes inline with the task's result; a large one is written to a file in `/dev/shm`, and what travels is a `Handle`, its
name. A reader maps the file copy-on-write: no byte is copied until the reader writes to it, and what it writes stays its
own. The driver only ever holds handles; when it drops the last one, the file goes.

`DriverEnd.dumps` and `DriverEnd.loads` are given to `dask.multiprocessing.get`; pickled on their way to a worker they turn
into `WorkerEnd`'s.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import mmap
import os
import pickle
import platform
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock._pickling import pickled, pickled_apart, reduce_dataclass
from penstock.runner.processes.environment import Surroundings, follow
from penstock.tasks.values import MultipleOutputs

if TYPE_CHECKING:
    from penstock._typing import Data

INLINE_BYTES = 64 * 1024
"""Up to this size a value goes inline: a pipe moves it faster than a file can be made, mapped and removed."""

ALIGNMENT = 64
"""Buffers start at multiples of this, a cache line: numpy is slow on arrays that are not aligned."""

ROOM_TO_LEAVE = 16 * 1024 * 1024
"""Bytes of memory that are left free in `/dev/shm`; a value that does not fit goes to a temporary folder on disk."""

_PREFIX = "penstock-"
_SURROUNDINGS = "surroundings"


@dataclass
class Handle:
    """A value that is somewhere else: its pickle if it is small, or the file that holds it."""

    __reduce__ = reduce_dataclass
    pickled: bytes
    path: str = ""
    spans: Sequence[tuple[int, int]] = ()
    """Start and length in the file, in bytes, of the pickle and of each of its buffers."""
    token: str = ""
    """Set for a value that a worker opens once and keeps for the run."""
    parts: Sequence[Handle] = ()
    """The values of a node with several outputs, each by itself, instead of a pickle."""

    def open(self) -> Data:
        """The value, made anew; its large buffers are this reader's own, copy-on-write."""
        if self.parts:
            return _Parts(self.parts)
        if not self.path:
            return pickle.loads(self.pickled)
        with Path(self.path).open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        pickled, *buffers = [mapped[start : start + size] for start, size in self.spans]
        return pickle.loads(pickled, buffers=buffers)


class _Parts:
    """The values of a node with several outputs, of which a reader opens one."""

    def __init__(self, handles: Sequence[Handle]) -> None:
        self._handles = handles

    def __getitem__(self, index: int) -> Data:
        return self._handles[index].open()


@dataclass(frozen=True)
class Room:
    """The folders of one run: in memory, and on disk for what does not fit there."""

    name: str

    def write(self, data: Data) -> Handle:
        """The value as a handle, in a file if it is large."""
        if isinstance(data, Handle):
            return data
        if isinstance(data, MultipleOutputs):
            return Handle(b"", parts=[self.write(value) for value in data])
        data_bytes, buffers = pickled_apart(data)
        parts = [memoryview(data_bytes), *(buffer.raw() for buffer in buffers)]
        if sum(part.nbytes for part in parts) > INLINE_BYTES:
            return self._written(parts)
        return Handle(pickled(data) if buffers else data_bytes)

    def _written(self, parts: list[memoryview], name: str = "") -> Handle:
        name = name or secrets.token_hex(8)
        spans = list(_spans([part.nbytes for part in parts]))
        for base in _memory_folders():
            # Another worker may take the room that is seen here: then this value goes to disk as well.
            with contextlib.suppress(OSError):
                if _free(base) > sum(spans[-1]) + ROOM_TO_LEAVE:
                    return self._in(base / self.name / name, parts, spans)
        return self._in(Path(tempfile.gettempdir(), self.name, name), parts, spans)

    def _in(self, path: Path, parts: list[memoryview], spans: list[tuple[int, int]]) -> Handle:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            with path.open("xb") as file:
                for part, (start, _) in zip(parts, spans, strict=True):
                    file.seek(start)
                    file.write(part)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return Handle(b"", str(path), spans)

    def log_folder(self) -> Path:
        """Where workers may write what nodes say: on disk, since that may be much. It is yet to be made."""
        folder = Path(tempfile.gettempdir()) / self.name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / "logs"

    def furnish(self) -> None:
        """Write down what surrounds the driver."""
        self._written([memoryview(pickle.dumps(Surroundings.here()))], _SURROUNDINGS)

    def enter(self) -> None:
        """Have in this worker what surrounds the driver; as it is, if somebody has tidied up meanwhile.

        Raises:
            OSError: The driver's working directory is gone.
        """
        for path in [base / self.name / _SURROUNDINGS for base in _all_folders()]:
            if path.exists():
                follow(pickle.loads(path.read_bytes()))
                break

    def remove(self) -> None:
        """Remove the folders with all that is left in them."""
        for base in _all_folders():
            shutil.rmtree(base / self.name, ignore_errors=True)


@contextlib.contextmanager
def new_room() -> Iterator[Room]:
    """A room for one run, removed when the run ends; rooms of drivers that were killed are removed first."""
    _remove_orphans()
    room = Room(f"{_PREFIX}{_machine()}-{os.getpid()}-{secrets.token_hex(8)}")
    try:
        room.furnish()
        yield room
    finally:
        try:
            room.remove()
        except KeyboardInterrupt:
            # Or it would stay as long as this process does.
            room.remove()
            raise


def _spans(sizes: list[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for size in sizes:
        yield start, size
        start += -(-size // ALIGNMENT) * ALIGNMENT


def _memory_folders() -> list[Path]:
    shm = Path("/dev/shm")  # noqa: S108 - its files are made in a folder that only this user can enter
    return [shm] if os.access(shm, os.W_OK | os.X_OK) else []


def _all_folders() -> list[Path]:
    return [*_memory_folders(), Path(tempfile.gettempdir())]


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def remove_rooms_of(driver: int) -> None:
    """Remove all rooms of a process, which is gone."""
    _remove_rooms(lambda pid: pid == driver)


def _remove_orphans() -> None:
    _remove_rooms(lambda pid: not _is_alive(pid))


def _remove_rooms(is_gone: Callable[[int], bool]) -> None:
    for base in _all_folders():
        for folder in base.glob(f"{_PREFIX}{_machine()}-*"):
            pid = folder.name.split("-")[2]
            if pid.isdecimal() and is_gone(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _machine() -> str:
    """What process ids are unique within: a folder may be shared by containers, or by machines."""
    namespace = Path("/proc/self/ns/pid")
    number = namespace.stat().st_ino if namespace.exists() else 0
    return hashlib.blake2s(f"{platform.node()} {number}".encode(), digest_size=4).hexdigest()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
