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
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.errors import CannotSendError
from penstock.graph.compact import reduced
from penstock.tasks.exceptions import carried
from penstock.tasks.backend import Event, Listener, take_news
from penstock.runner.processes.logs import Hearing, has_spoken, work_for
from penstock.runner.processes.environment import Surroundings, follow
from penstock.tasks.dataset_tasks import Pick, Several
from penstock._pickling import pickled, pickled_apart

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

    __reduce__ = reduced
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
        if isinstance(data, Several):
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


class _Result(NamedTuple):
    """What a task's result looks like to the driver."""

    handle: Handle
    news: list[Event]
    has_spoken: bool
    """Whether there is something to read of what the node has logged or printed."""


class DriverEnd:
    """The driver's side: it passes handles on and opens nothing."""

    def __init__(self, room: Room, listener: Listener | None = None, hearing: Hearing | None = None) -> None:
        self.room = room
        self._hearing = hearing
        self._listener = listener
        self._holders: Counter[str] = Counter()

    def __reduce__(self) -> tuple[type[WorkerEnd], tuple[Room, str]]:
        return WorkerEnd, (self.room, str(self._hearing.folder) if self._hearing is not None else "")

    def dumps(self, task_and_data: Any) -> bytes:
        """A task with the handles of its inputs."""
        return pickled(task_and_data)

    def loads(self, dumped: bytes) -> Any:
        """The handle of a result; the worker's news is told to the listener, after what it has logged and printed."""
        result, origin = pickle.loads(dumped)
        if not isinstance(result, _Result):
            return result, origin
        if result.has_spoken and self._hearing is not None:
            self._hearing.read()
        if self._listener is not None:
            for event in result.news:
                self._listener(event)
        return self.kept(result.handle), origin

    def shared(self, data: Data) -> Handle:
        """A value of the driver, written once for all its readers; each worker opens it once."""
        handle = self.room.write(data)
        handle.token = secrets.token_hex(8)
        return self.kept(handle)

    def kept(self, handle: Handle) -> Handle:
        """The same handle; its file goes with the last handle of it: an output and what is picked from it share one."""
        for each in (handle, *handle.parts):
            if each.path:
                self._holders[each.path] += 1
                weakref.finalize(each, self._drop, each.path)
        return handle

    def _drop(self, path: str) -> None:
        self._holders[path] -= 1
        if not self._holders[path]:
            del self._holders[path]
            Path(path).unlink(missing_ok=True)


class WorkerEnd:
    """A worker's side: it opens what a task reads and writes what it made.

    Both methods are called on one object, in turn, for each task.
    """

    def __init__(self, room: Room, logs: str = "") -> None:
        self.room = room
        self._logs = logs
        self._work: Any = None

    def loads(self, dumped: bytes) -> Any:
        """A task with its inputs."""
        take_news()
        stay = _stay_in(self.room)
        task, handle_by_key = pickle.loads(dumped)
        work = getattr(task, "func", task)
        self._work = work
        if self._logs and hasattr(work, "node"):
            work_for(self._logs, work)
        data = {key: _seen_by(work, handle, stay) for key, handle in handle_by_key.items()}
        stay.keep(max(KEPT_VALUES, len(data)))
        return task, data

    def dumps(self, result_and_origin: Any) -> bytes:
        """A result as a handle, with the news; an exception, which stands before its traceback, as it is."""
        result, origin = result_and_origin
        if isinstance(origin, TracebackType | str):
            return pickled((result, None))
        return pickle.dumps((_Result(self._handle(result), take_news(), has_spoken()), origin), protocol=5)

    def _handle(self, result: Data) -> Handle:
        try:
            return self.room.write(result)
        except OSError:
            raise
        except Exception as error:
            reason = f"it made a {type(result).__name__} that cannot be pickled: {error}"
            task = str(self._work)
            raise carried(CannotSendError({task: reason}), task) from error


KEPT_VALUES = 8
"""How many values of the driver a worker keeps open, or as many as its last task has read, if that is more."""


class _Stay:
    """What a worker has of the run that it works for.

    Args:
        room: The run's.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self._opened: OrderedDict[str, Data] = OrderedDict()
        self._file = ""

    def opened(self, handle: Handle) -> Data:
        """The value of the driver, opened once."""
        if handle.token in self._opened:
            self._opened.move_to_end(handle.token)
        else:
            self._opened[handle.token] = handle.open()
            self._file = self._file or handle.path
        return self._opened[handle.token]

    def keep(self, number: int) -> None:
        """Let go of all but so many of the opened values: of those that were not read for longest."""
        while len(self._opened) > number:
            self._opened.popitem(last=False)

    def let_go_when_over(self) -> None:
        """Let go of all, if the run is over: until then, a file of the driver stays."""
        if self._file and not Path(self._file).exists():
            self._opened.clear()


_stay: _Stay | None = None


def _stay_in(room: Room) -> _Stay:
    """That of the run of this room, which begins by entering it; what was opened for another run is let go."""
    global _stay  # noqa: PLW0603 - a process works for one run at a time
    if _stay is None or _stay.room.name != room.name:
        room.enter()
        _stay = _Stay(room)
    return _stay


def let_go_when_over() -> None:
    """Let go of what this worker has opened for a run that is over: its memory is free only then."""
    if _stay is not None:
        _stay.let_go_when_over()


def _seen_by(work: Any, handle: Handle, stay: _Stay) -> Data:
    """What a task gets of an input: nothing, if it does not look; one that only picks passes the handle on."""
    if handle.token:
        return stay.opened(handle)
    if not getattr(work, "reads", True):
        return None
    return handle.parts if isinstance(work, Pick) else handle.open()


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
