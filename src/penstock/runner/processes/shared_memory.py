"""Values handed from process to process through files in memory, so that they never pass through the driver.

The worker that makes a value pickles it with protocol 5 (PEP 574), which leaves large buffers out of the pickle. A small
one goes inline with the task's result; a large one is written to a file in `/dev/shm`, and what travels is a `Handle`, its
name. A reader maps the file copy-on-write: no byte is copied until the reader writes to it, and what it writes stays its
own. The driver holds handles only, and removes the file when it drops the last one.
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
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from penstock._pickling import pickled, pickled_with_buffers, reduce_dataclass
from penstock.tasks.values import MultipleOutputs

if TYPE_CHECKING:
    from penstock._typing import Data

INLINE_BYTES = 64 * 1024
"""Up to this size a value goes inline: a pipe moves it faster than a file can be made, mapped and removed."""

ALIGNMENT = 64
"""Buffers start at multiples of this, a cache line: numpy is slow on arrays that are not aligned."""

SPARE_BYTES = 16 * 1024 * 1024
"""Memory that is left free in `/dev/shm`; a value that does not fit goes to a temporary folder on disk."""

_PREFIX = "penstock-"


@dataclass
class Handle:
    """A value on its way between processes: its pickle if it is small, or the file that holds it."""

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
class RunFolder:
    """The folders of one run, of one name: in memory, and on disk for logs and for what does not fit into memory."""

    name: str
    on_disk: Path
    """There as long as the run."""
    working_folder: str = ""
    """The driver's working folder when the run began; empty if that was removed."""

    def write(self, data: Data) -> Handle:
        """The value as a handle, in a file if it is large."""
        if isinstance(data, Handle):
            return data
        if isinstance(data, MultipleOutputs):
            return Handle(b"", parts=[self.write(value) for value in data])
        data_bytes, buffers = pickled_with_buffers(data)
        parts = [memoryview(data_bytes), *(buffer.raw() for buffer in buffers)]
        if sum(part.nbytes for part in parts) > INLINE_BYTES:
            return self._written(parts)
        return Handle(pickled(data) if buffers else data_bytes)

    def _written(self, parts: list[memoryview]) -> Handle:
        name = secrets.token_hex(8)
        spans = _spans([part.nbytes for part in parts])
        for base in _memory_folders():
            # Another worker may fill the memory that is free here: then this value goes to disk as well.
            with contextlib.suppress(OSError):
                if _free(base) > sum(spans[-1]) + SPARE_BYTES:
                    return self._in(base / self.name / name, parts, spans)
        return self._in(self.on_disk / name, parts, spans)

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

    @property
    def log_folder(self) -> Path:
        """Where workers write what nodes log and print: on disk, since that may be much. The folder is yet to be made."""
        return self.on_disk / "logs"

    def is_removed(self) -> bool:
        """Whether the run has ended."""
        return not self.on_disk.exists()

    def remove(self) -> None:
        """Remove the folders with all that is left in them."""
        for path in [*(base / self.name for base in _memory_folders()), self.on_disk]:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def new_run_folder() -> Iterator[RunFolder]:
    """A folder for one run, removed when the run ends. Folders of drivers that were killed are removed first."""
    remove_run_folders(_is_gone)
    name = f"{_PREFIX}{_machine()}-{os.getpid()}-{secrets.token_hex(8)}"
    folder = RunFolder(name, Path(tempfile.gettempdir(), name), _working_folder())
    try:
        folder.on_disk.mkdir(mode=0o700)
        yield folder
    finally:
        try:
            folder.remove()
        except KeyboardInterrupt:
            # Or its files would stay as long as this process does.
            folder.remove()
            raise


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a name is wanted
    except OSError:
        return ""


def _spans(sizes: list[int]) -> list[tuple[int, int]]:
    aligned = [-(-size // ALIGNMENT) * ALIGNMENT for size in sizes]
    return list(zip(accumulate(aligned, initial=0), sizes, strict=False))


def _memory_folders() -> list[Path]:
    shm = Path("/dev/shm")  # noqa: S108 - its files are made in a folder that only this user can enter
    return [shm] if os.access(shm, os.W_OK | os.X_OK) else []


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def remove_run_folders(is_gone: Callable[[int], bool]) -> None:
    """Remove all run folders of drivers that have ended, which `is_gone` tells by their process ids."""
    for base in (*_memory_folders(), Path(tempfile.gettempdir())):
        for folder in base.glob(f"{_PREFIX}{_machine()}-*"):
            pid = folder.name.split("-")[2]
            if pid.isdecimal() and is_gone(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _machine() -> str:
    """Stands for the machine or container in which process ids are unique: several may share a folder."""
    namespace = Path("/proc/self/ns/pid")
    number = namespace.stat().st_ino if namespace.exists() else 0
    return hashlib.blake2s(f"{platform.node()} {number}".encode(), digest_size=4).hexdigest()


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    return False
