"""What travels between the driver and its worker processes: tasks, handles of values, and results.

`DriverExchange.dumps` and `DriverExchange.loads` are given to `dask.multiprocessing.get`. Pickled with a task, they arrive in the
worker as the methods of a `WorkerExchange`.
"""

from __future__ import annotations

import os
import pickle
import secrets
import weakref
from collections import Counter
from concurrent.futures import CancelledError
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock._pickling import pickled
from penstock.errors import CannotSendError
from penstock.graph.taskspec import work_of
from penstock.runner.processes.backend import take_events
from penstock.runner.processes.logs import LogReader, close_channels_of_ended_runs, ended_node, started_node
from penstock.runner.processes.shared_memory import Handle
from penstock.runner.processes.together import HandOuts
from penstock.tasks.base import Work
from penstock.tasks.dataset_tasks import PickOutput
from penstock.tasks.exceptions import add_note, pack_error
from penstock.tasks.load_tasks import LoadedValue

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.runner.processes.shared_memory import RunFolder
    from penstock.tasks.backend import Event, Listener


class _Result(NamedTuple):
    """The result of a task, as the driver gets it."""

    handle: Handle
    events: list[Event]
    has_logs: bool
    """Whether the node has logged or printed anything."""
    key: str


class DriverExchange:
    """The driver's side: it passes handles on and opens no value.

    Args:
        folder: The run's folder.
        listener: Called with each event that arrives.
        logs: Reads what nodes log and print.
        hand_outs: Which tasks are handed out together; each by itself if None.
    """

    def __init__(
        self,
        folder: RunFolder,
        listener: Listener | None = None,
        logs: LogReader | None = None,
        hand_outs: HandOuts | None = None,
    ) -> None:
        self.folder = folder
        self.followers: dict[str, list[str]] = {}
        """The keys of the tasks that are pickled with another one, by its key, from `dumps` until they are handed out."""
        self.results_ahead: dict[str, Any] = {}
        """The results of tasks that Dask has not handed out yet, since they were done in the hand-out of another, by key."""
        self._hand_outs = hand_outs or HandOuts({}, ())
        self._logs = logs
        self._listener = listener
        self._handles_by_path: Counter[str] = Counter()

    def __reduce__(self) -> tuple[type[WorkerExchange], tuple[RunFolder, str]]:
        return WorkerExchange, (self.folder, str(self._logs.folder) if self._logs is not None else "")

    def dumps(self, task_and_data: Any) -> bytes:
        """A task with the handles of its inputs, and all that follow it in its hand-out; nothing if its result is here already."""
        task, handles = task_and_data
        key = getattr(task, "key", "")
        if key in self.results_ahead:
            return b""
        followers = self.followers[key] = self._hand_outs.followers(key) if key else []
        sent = {key: (task, handles), **{each: self._hand_outs.task_and_handles(each) for each in followers}}
        tasks = pickled([(*each, key, self._hand_outs.stays(key, sent)) for key, each in sent.items()])
        work = work_of(task)
        return pickle.dumps((str(work or key), _node_name(work), tasks), protocol=5)

    def loads(self, dumped: bytes) -> Any:
        """The handle of a result. Before that, the log records of the node are delivered, and then its events."""
        result, origin = pickle.loads(dumped)
        if not isinstance(result, _Result):
            return result, origin
        if result.has_logs and self._logs is not None:
            self._logs.read()
        if self._listener is not None:
            for event in result.events:
                self._listener(event)
        self._hand_outs.handles[result.key] = result.handle
        return self.tracked(result.handle), origin

    def shared(self, key: str, data: Data) -> Handle:
        """The driver's value of a key, written once for all its readers. Each worker opens it once."""
        handle = self.folder.write(data)
        handle.token = secrets.token_hex(8)
        self._hand_outs.handles[key] = handle
        return self.tracked(handle)

    def tracked(self, handle: Handle) -> Handle:
        """The same handle. Its file is removed with the last handle of it: an output and what is picked from it share a file."""
        for each in (handle, *handle.parts):
            if each.path:
                self._handles_by_path[each.path] += 1
                weakref.finalize(each, self._drop, each.path)
        return handle

    def _drop(self, path: str) -> None:
        self._handles_by_path[path] -= 1
        if not self._handles_by_path[path]:
            del self._handles_by_path[path]
            Path(path).unlink(missing_ok=True)


class WorkerExchange:
    """The worker's side: it opens what a task reads, and writes what the task made.

    Dask calls `loads` and then `dumps` of one object for each task of a hand-out.

    Args:
        folder: The run's folder.
        logs: The run's folder for logs; empty for none.
    """

    def __init__(self, folder: RunFolder, logs: str = "") -> None:
        self.folder = folder
        self._logs = logs
        self._work: Any = None
        self._key = ""
        self._stays = False
        self._sent: list[tuple[Any, ...]] = []
        """The tasks of this hand-out that are yet to be done."""
        self._values: dict[str, Data] = {}
        """What the tasks of this hand-out have made, by key."""

    def loads(self, dumped: bytes) -> Any:
        """A task with its inputs.

        Raises:
            CancelledError: The run was stopped before this task began.
            OSError: The driver's working folder is gone.
        """
        take_events()
        _enter(self.folder)
        if dumped:
            self._sent = _unpickled(*pickle.loads(dumped))
        task, handles, self._key, self._stays = self._sent.pop(0)
        work = work_of(task) or task
        self._work = work
        if self._logs and hasattr(work, "node") and started_node(self._logs, work.node.name).is_stopped():
            # It was waiting for a worker that another run of the same `with` block kept busy.
            raise CancelledError(str(work))
        data = {key: self._opened(handle) for key, handle in handles.items()}
        # An output that was picked is a handle.
        made = {
            key: value.open() if isinstance(value, Handle) else value for key, value in self._values.items()
        }
        data.update(made)
        for token in list(_inputs)[: -max(KEPT_INPUTS, len(data))]:
            _inputs.pop(token, None)
        return task, data

    def _opened(self, handle: Handle) -> Data:
        try:
            return _opened_for(self._work, handle, self.folder)
        except Exception as error:
            task = str(self._work)
            add_note(
                error, f"Raised while an input was unpickled, which another process has made, for {task}."
            )
            raise pack_error(error, task, _node_name(self._work)) from error

    def dumps(self, result_and_origin: Any) -> bytes:
        """A result as a handle, with the events of its task; an exception, which stands before its traceback, as it is."""
        result, origin = result_and_origin
        if isinstance(origin, TracebackType | str):
            ended_node()
            return pickled((result, None))
        self._values[self._key] = result
        handle = Handle(b"") if self._stays else self._handle(result)
        return pickle.dumps((_Result(handle, take_events(), ended_node(), self._key), origin), protocol=5)

    def _handle(self, result: Data) -> Handle:
        try:
            handle = self.folder.write(result)
        except OSError:
            raise
        except Exception as error:
            reason = f"it made a {type(result).__name__} that cannot be pickled: {error}"
            task = str(self._work)
            raise pack_error(CannotSendError({task: reason}), task, _node_name(self._work)) from error
        if isinstance(result, LoadedValue) and result.is_kept:
            handle.token = secrets.token_hex(8)
        return handle


def _unpickled(task: str, node: str, tasks: bytes) -> list[tuple[Any, ...]]:
    """The tasks of a hand-out. What a user's class raises here gets a note that names the first of them, which is of the node."""
    try:
        sent: list[tuple[Any, ...]] = pickle.loads(tasks)
    except Exception as error:
        add_note(error, f"Raised while {task} was unpickled in a worker process.")
        raise pack_error(error, task, node) from error
    return sent


def _node_name(work: Any) -> str:
    return work.node.name if isinstance(work, Work) else ""


KEPT_INPUTS = 8
"""A worker keeps this many values of the driver open, or as many as its last task has read if that is more."""


_inputs: dict[str, tuple[RunFolder, Data]] = {}
"""The driver's values that this worker keeps open, by token, each with the folder of its run; the one read last is the last."""

_last_run = ""


def _enter(folder: RunFolder) -> None:
    """Change into the driver's working folder if another run was here before: runs at once share the processes of an open runner."""
    global _last_run  # noqa: PLW0603 - a process runs one task at a time
    if folder.name == _last_run:
        return
    if folder.working_folder:
        os.chdir(folder.working_folder)
    _last_run = folder.name
    release_ended_runs()


def release_ended_runs() -> None:
    """Free what this worker keeps of runs that have ended: their inputs, whose memory is free only then, and their log files."""
    for token, (folder, _) in list(_inputs.items()):
        if folder.is_removed():
            _inputs.pop(token, None)
    close_channels_of_ended_runs()


def _opened_for(work: Any, handle: Handle, folder: RunFolder) -> Data:
    """A task's input: None for a task that does not use it, and the handle itself for one that only picks."""
    if handle.token:
        # Another thread releases the inputs of ended runs.
        kept = _inputs.pop(handle.token, None) or (folder, handle.open())
        _inputs[handle.token] = kept
        return kept[1]
    if isinstance(work, Work) and not work.uses_values:
        return None
    return handle.parts if isinstance(work, PickOutput) else handle.open()
