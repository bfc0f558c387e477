"""A diary file to which tasks on any worker write, so that tests can check order, time and place."""

from __future__ import annotations

import json
import os
import pickle
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import cloudpickle

from penstock.hooks import hook_impl
from penstock.io.dataset import AbstractDataset

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, NodeLike


class Diary:
    """Notes in a file: processes and threads append to it, the test reads it.

    Args:
        path: A file in a folder that all workers can write to.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)

    def note(self, kind: str, **details: Any) -> None:
        """Append one note. The line is short enough to be written as a whole while other processes write."""
        line = json.dumps({"kind": kind, "at": time.time(), "process": os.getpid(), **details})
        with Path(self.path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def note_and_return(self, kind: str, value: Data) -> Data:
        """Append a note and return the value, for use in lambdas."""
        self.note(kind)
        return value

    def notes(self, *kinds: str) -> list[dict[str, Any]]:
        """The notes of these kinds, or all notes, in the order of writing."""
        path = Path(self.path)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        notes = [json.loads(line) for line in lines]
        return [note for note in notes if not kinds or note["kind"] in kinds]

    def kinds(self) -> list[str]:
        """The kinds of all notes in the order of writing."""
        return [note["kind"] for note in self.notes()]


class Recorder:
    """A plugin that notes each call of a node or dataset hook.

    Args:
        diary: The diary for the notes.
        name: The plugin's name in the notes, which distinguishes two plugins.
    """

    def __init__(self, diary: Diary, name: str = "recorder") -> None:
        self.diary = diary
        self.name = name

    def _note(self, hook: str, node: NodeLike, **details: Any) -> None:
        self.diary.note(hook, plugin=self.name, node=node.name, **details)

    @hook_impl
    def before_node_run(
        self, node: NodeLike, catalog: CatalogLike, inputs: dict[str, Data], is_async: bool, run_id: str
    ) -> None:
        """Note the call, and which of the node's datasets the catalog has."""
        names = [name for name in (*node.inputs, *node.outputs) if name in catalog]
        self._note(
            "before_node_run", node, inputs=repr(inputs), is_async=is_async, run_id=run_id, names=names
        )

    @hook_impl
    def after_node_run(self, node: NodeLike, inputs: dict[str, Data], outputs: dict[str, Data]) -> None:
        """Note the call."""
        self._note("after_node_run", node, inputs=repr(inputs), outputs=sorted(outputs))

    @hook_impl
    def on_node_error(self, error: Exception, node: NodeLike, inputs: dict[str, Data]) -> None:
        """Note the call."""
        self._note("on_node_error", node, error=repr(error), inputs=repr(inputs))

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: NodeLike) -> None:
        """Note the call."""
        self._note("before_dataset_loaded", node, dataset=dataset_name)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Data, node: NodeLike) -> None:
        """Note the call."""
        self._note("after_dataset_loaded", node, dataset=dataset_name, data=repr(data))

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Data, node: NodeLike) -> None:
        """Note the call."""
        self._note("before_dataset_saved", node, dataset=dataset_name, data=repr(data))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Data, node: NodeLike) -> None:
        """Note the call."""
        self._note("after_dataset_saved", node, dataset=dataset_name, data=repr(data))


class DiaryDataset(AbstractDataset):
    """A stored dataset that notes each call of its methods: `load x`, `save x`, `saved x`, `release x`, `confirm x`.

    Args:
        name: The dataset's name in the notes.
        diary: The diary for the notes; the data is stored in the same folder.
        save_seconds: How long a save takes.
        load_error: Raised by each load.
        save_error: Raised by each save.
    """

    def __init__(
        self,
        name: str,
        diary: Diary,
        *,
        save_seconds: float = 0.0,
        load_error: Exception | None = None,
        save_error: Exception | None = None,
    ) -> None:
        self.name = name
        self.diary = diary
        self.save_seconds = save_seconds
        self.load_error = load_error
        self.save_error = save_error

    @property
    def path(self) -> Path:
        """The file with the data."""
        return Path(self.diary.path).with_name(f"{self.name.replace('@', '-')}.pickle")

    def load(self) -> Data:
        """Note the call, and return the data."""
        self.diary.note(f"load {self.name}")
        if self.load_error is not None:
            raise self.load_error
        return pickle.loads(self.path.read_bytes())

    def save(self, data: Data) -> None:
        """Note the call, wait `save_seconds`, and store the data."""
        self.diary.note(f"save {self.name}")
        if self.save_error is not None:
            raise self.save_error
        time.sleep(self.save_seconds)
        self.path.write_bytes(cloudpickle.dumps(data))
        self.diary.note(f"saved {self.name}")

    def confirm(self) -> None:
        """Note the call."""
        self.diary.note(f"confirm {self.name}")

    def _exists(self) -> bool:
        return self.path.exists()

    def _release(self) -> None:
        self.diary.note(f"release {self.name}")

    def _describe(self) -> dict[str, Any]:
        return {"name": self.name}


class ListDataset:
    """A memory dataset that is not a class of Penstock. `load` returns a list of all values that were saved."""

    _EPHEMERAL = True

    def __init__(self) -> None:
        self.saved: list[Data] = []

    def load(self) -> list[Data]:
        """All saved values in order."""
        return list(self.saved)

    def save(self, data: Data) -> None:
        """Append the data."""
        self.saved = [*self.saved, data]

    def exists(self) -> bool:
        """Whether a value was saved."""
        return bool(self.saved)

    def release(self) -> None:
        """Drop all values."""
        self.saved = []


class CountsUp(Exception):  # noqa: N818 - a user's exception is named as the user likes
    """An exception with two arguments that makes its own text, as in many users' code."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(f"{name} counted to {count}")
        self.name, self.count = name, count


def fail(*_: Data) -> Data:
    """Raise a `ValueError`."""
    raise ValueError("too many turbines")


def refuse() -> NoReturn:
    """What an object that cannot be unpickled has in its pickle: it raises an `OSError`."""
    raise OSError("no such device")


def add_one(number: int) -> int:
    """The number plus one."""
    return number + 1
