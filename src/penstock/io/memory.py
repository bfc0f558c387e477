"""Data in memory, and how it is copied so that two nodes never share what one of them could change.

| copy mode | copies with | chosen for |
| --- | --- | --- |
| `copy` | `data.copy()` | pandas frames, numpy arrays |
| `assign` | nothing: the object itself | other classes named `DataFrame`, ibis tables: lazy or immutable |
| `deepcopy` | `copy.deepcopy` | everything else |

pandas, numpy and ibis are recognised by the names of an object's classes, so that none of them is imported.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from penstock.errors import DatasetError
from penstock.io.dataset import AbstractDataset

if TYPE_CHECKING:
    from penstock._typing import Data


class _Nothing(Enum):
    # An enum's member is itself again after pickling; a bare object() would come back as data.
    NOTHING = "nothing"


_NOTHING: Final = _Nothing.NOTHING

# By exact type: a subclass may carry attributes of its own.
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})


def _same(data: Data) -> Data:
    return data


_FLAT_COPY: dict[type, Callable[[Any], Data]] = {
    tuple: _same,
    frozenset: _same,
    list: list.copy,
    set: set.copy,
    dict: dict.copy,
}


def _copy(data: Data) -> Data:
    return data.copy() if hasattr(data, "copy") else copy.copy(data)


def _deepcopy(data: Data) -> Data:
    kind = type(data)
    if kind in _FLAT_COPY:
        items = chain(data, data.values()) if kind is dict else data
        if _ATOMS.issuperset(map(type, items)):
            # Nothing inside can be changed: the same result as below, ten times faster.
            return _FLAT_COPY[kind](data)
    return copy.deepcopy(data)


_COPY_BY_MODE: dict[str, Callable[[Data], Data]] = {"deepcopy": _deepcopy, "copy": _copy, "assign": _same}


def copied(data: Data, copy_mode: str | None = None) -> Data:
    """The data as a `MemoryDataset` would hand it out: what is done to it is not seen in the original.

    Values that nobody can tell from their copies (numbers, texts, None, flat tuples and frozensets of these) come back as they are.

    Args:
        data: Any value.
        copy_mode: `"deepcopy"`, `"copy"` or `"assign"`; None chooses by the type of the data.

    Raises:
        DatasetError: no such copy mode, or the data cannot be copied.
    """
    if copy_mode is None:
        if type(data) in _ATOMS:
            return data
        copy_mode = inferred_copy_mode(data)
    try:
        make_copy = _COPY_BY_MODE[copy_mode]
    except (KeyError, TypeError):
        raise DatasetError(
            f"There is no copy mode {copy_mode!r}; choose one of {sorted(_COPY_BY_MODE)}"
        ) from None
    try:
        return make_copy(data)
    except Exception as error:
        raise DatasetError(
            f"Cannot make a {copy_mode} of a {_type_name(data)} ({type(error).__name__}: {error}); "
            'use MemoryDataset(copy_mode="assign") to hand over the object itself'
        ) from error


def inferred_copy_mode(data: Data) -> str:
    """The copy mode for data whose owner named none."""
    if type(data) in _FLAT_COPY:
        return "deepcopy"
    classes = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(data).__mro__}
    if ("pandas", "DataFrame") in classes or ("numpy", "ndarray") in classes:
        return "copy"
    if type(data).__name__ == "DataFrame" or ("ibis", "Table") in classes:
        return "assign"
    return "deepcopy"


def _type_name(data: Data) -> str:
    cls = type(data)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


@runtime_checkable
class Deferred(Protocol):
    """A value that is still somewhere else, on a cluster for instance."""

    def fetch(self) -> Data:
        """Bring the value here. Called at most once by the dataset that holds it, unless it raises."""


class MemoryDataset(AbstractDataset):
    """One value in memory, copied when it comes in and when it goes out.

    Args:
        data: The value; without it the dataset is empty. None is a value here, though it cannot be saved.
        copy_mode: `"deepcopy"`, `"copy"` or `"assign"` (no copy); by default chosen by the type of the data.
        metadata: Anything; kept for the user's own tools.

    Attributes:
        copy_mode: What was given; None means that each value decides.

    Raises:
        DatasetError: the data cannot be copied.
    """

    _EPHEMERAL = True

    def __init__(self, data: Data = _NOTHING, copy_mode: str | None = None, metadata: Any = None) -> None:
        self.copy_mode = copy_mode
        self.metadata = metadata
        self._lock = threading.Lock()
        self._deferred: Deferred | None = None
        self._data: Data = data if data is _NOTHING else copied(data, copy_mode)

    @property
    def deferred(self) -> Deferred | None:
        """What stands for the value while it is still elsewhere; None once it was fetched, or if it was always here."""
        return self._deferred

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing, neither here nor elsewhere."""
        return self._data is _NOTHING and self._deferred is None

    def defer(self, deferred: Deferred) -> None:
        """Hold a value that is fetched when somebody first loads it, and kept from then on."""
        with self._lock:
            self._data, self._deferred = _NOTHING, deferred

    def load(self) -> Data:
        """A copy of the value.

        Raises:
            DatasetError: there is none yet, it cannot be copied, or could not be fetched.
        """
        data = self._held()
        if data is _NOTHING:
            raise DatasetError("This MemoryDataset is empty: nothing has been saved to it yet")
        return copied(data, self.copy_mode)

    def save(self, data: Data) -> None:
        """Keep a copy of the value instead of the one before.

        Raises:
            DatasetError: the value is None, or cannot be copied.
        """
        kept = copied(data, self.copy_mode)
        with self._lock:
            self._data, self._deferred = kept, None

    def _held(self) -> Data:
        with self._lock:
            if self._deferred is not None:
                self._data, self._deferred = self._deferred.fetch(), None
            return self._data

    def _exists(self) -> bool:
        return not self.is_empty

    def _release(self) -> None:
        with self._lock:
            self._data, self._deferred = _NOTHING, None

    def _describe(self) -> dict[str, Any]:
        return {"data": self._shown(), "copy_mode": self.copy_mode}

    def _shown(self) -> str | None:
        if self._deferred is not None:
            return "<not loaded yet>"
        return None if self._data is _NOTHING else f"<{type(self._data).__name__}>"

    def __getstate__(self) -> dict[str, Any]:
        # Whoever unpickles it may have no way to where a deferred value still is.
        self._held()
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())
