"""What crosses the line between the driver and its worker processes: tasks, handles of values, and results."""

from __future__ import annotations

import pickle
import secrets
import weakref
from collections import Counter, OrderedDict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock._pickling import pickled
from penstock.errors import CannotSendError
from penstock.graph.taskspec import work_of
from penstock.runner.processes.backend import take_news
from penstock.runner.processes.logs import Hearing, has_spoken, start_node
from penstock.tasks.dataset_tasks import Pick
from penstock.tasks.exceptions import pack_error

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.runner.processes.shared_memory import Handle, Room
    from penstock.tasks.backend import Event, Listener


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
        work = work_of(task) or task
        self._work = work
        if self._logs and hasattr(work, "node"):
            start_node(self._logs, work.node.name)
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
            raise pack_error(CannotSendError({task: reason}), task) from error


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
