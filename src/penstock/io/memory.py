"""Data in memory. It is copied, so that two nodes never share an object that one of them could change.

| copy mode | makes a copy with | default for |
| --- | --- | --- |
| `copy` | `data.copy()` | pandas frames, numpy arrays |
| `assign` | no copy, the object itself | other classes named `DataFrame`, and ibis tables: they are lazy or immutable |
| `deepcopy` | `copy.deepcopy` | everything else |

Objects of pandas, numpy and ibis are recognised by the names of their classes, so none of these packages is imported.
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


class _Empty(Enum):
    # An enum's member is the same object after unpickling; a new `object()` would be taken for data.
    EMPTY = "empty"


_EMPTY: Final = _Empty.EMPTY

# By exact type: a subclass can have attributes that change.
IMMUTABLE_TYPES = frozenset({type(None), bool, int, float, complex, str, bytes})


def _unchanged(data: Data) -> Data:
    return data


_SHALLOW_COPY_BY_TYPE: dict[type, Callable[[Any], Data]] = {
    tuple: _unchanged,
    frozenset: _unchanged,
    list: list.copy,
    set: set.copy,
    dict: dict.copy,
}


def _copy(data: Data) -> Data:
    return data.copy() if hasattr(data, "copy") else copy.copy(data)


def _deepcopy(data: Data) -> Data:
    kind = type(data)
    if kind in _SHALLOW_COPY_BY_TYPE:
        items = chain(data, data.values()) if kind is dict else data
        if IMMUTABLE_TYPES.issuperset(map(type, items)):
            # No item can be changed, so a shallow copy is enough, and ten times faster.
            return _SHALLOW_COPY_BY_TYPE[kind](data)
    return copy.deepcopy(data)


_COPY_BY_MODE: dict[str, Callable[[Data], Data]] = {
    "deepcopy": _deepcopy,
    "copy": _copy,
    "assign": _unchanged,
}


def copied(data: Data, copy_mode: str | None = None) -> Data:
    """A copy of the data as `MemoryDataset.load` returns it: changes to it do not reach the original.

    Immutable values (numbers, texts, None, tuples and frozensets of these) are returned as they are.

    Args:
        data: Any value.
        copy_mode: `"deepcopy"`, `"copy"` or `"assign"`; None chooses by the type of the data.

    Raises:
        DatasetError: There is no such copy mode, or the data cannot be copied.
    """
    if copy_mode is None:
        if type(data) in IMMUTABLE_TYPES:
            return data
        copy_mode = inferred_copy_mode(data)
    try:
        make_copy = _COPY_BY_MODE[copy_mode]
    except (KeyError, TypeError):
        raise DatasetError(
            f"copy_mode {copy_mode!r} is not supported; use one of {sorted(_COPY_BY_MODE)}"
        ) from None
    try:
        return make_copy(data)
    except Exception as error:
        raise DatasetError(
            f"Cannot make a {copy_mode} of a {_type_name(data)} ({type(error).__name__}: {error}); "
            'use MemoryDataset(copy_mode="assign") to pass the object itself'
        ) from error


def inferred_copy_mode(data: Data) -> str:
    """The default copy mode for the type of the data."""
    if type(data) in _SHALLOW_COPY_BY_TYPE:
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
    """A value that is still in another place, for instance on a cluster. A method `describe()` may say where, for a `repr`."""

    def fetch(self) -> Data:
        """Bring the value here. The dataset that holds it calls this once, and again only after an error."""


def describe_deferred(deferred: Deferred) -> str:
    """Where a deferred value is, in words."""
    describe = getattr(deferred, "describe", None)
    return "not loaded yet" if describe is None else str(describe())


class MemoryDataset(AbstractDataset):
    """One value in memory. It is copied when it is saved and when it is loaded.

    Args:
        data: The value; without it the dataset is empty. None is accepted here, though `save(None)` is an error.
        copy_mode: `"deepcopy"`, `"copy"` or `"assign"` (no copy). By default, the type of the data decides: pandas and
            numpy data is copied with its own `copy`, lazy tables are not copied, all else is copied deeply.
        metadata: Anything; kept for the user's own tools.

    Attributes:
        copy_mode: The given mode; None means that the type of each value decides.

    Raises:
        DatasetError: The data cannot be copied.

    Example:
        >>> from penstock.io import MemoryDataset
        >>> numbers = MemoryDataset([1, 2])
        >>> numbers.load().append(3)
        >>> numbers.load()
        [1, 2]
        >>> numbers.save([4])
        >>> numbers.exists(), numbers.is_empty
        (True, False)
        >>> numbers.release()
        >>> numbers.load()
        Traceback (most recent call last):
        ...
        penstock.errors.DatasetError: This MemoryDataset is empty: nothing has been saved to it yet
    """

    _EPHEMERAL = True

    def __init__(self, data: Data = _EMPTY, copy_mode: str | None = None, metadata: Any = None) -> None:
        self.copy_mode = copy_mode
        self.metadata = metadata
        self._lock = threading.Lock()
        self._deferred: Deferred | None = None
        self._data: Data = data if data is _EMPTY else copied(data, copy_mode)

    @property
    def deferred(self) -> Deferred | None:
        """The handle of a value that this dataset has not fetched; None if there is none."""
        return self._deferred

    @property
    def is_empty(self) -> bool:
        """Whether the dataset has no value, neither here nor in another place."""
        return self._data is _EMPTY and self._deferred is None

    def defer(self, deferred: Deferred) -> None:
        """Hold a value that stays where it is until the first load, and is kept here from then on.

        Args:
            deferred: Has a method `fetch` that returns the value.

        Example:
            >>> from penstock.io import MemoryDataset
            >>> class Remote:
            ...     def fetch(self):
            ...         return 42
            >>> answer = MemoryDataset()
            >>> answer.defer(Remote())
            >>> answer
            penstock.io.memory.MemoryDataset(data='<not loaded yet>')
            >>> answer.load()
            42
        """
        with self._lock:
            self._data, self._deferred = _EMPTY, deferred

    def load(self) -> Data:
        """Load the value.

        Returns:
            A copy of the value.

        Raises:
            DatasetError: The dataset is empty, or the value cannot be copied or fetched.
        """
        data = self._fetched()
        if data is _EMPTY:
            raise DatasetError("This MemoryDataset is empty: nothing has been saved to it yet")
        return copied(data, self.copy_mode)

    def save(self, data: Data) -> None:
        """Replace the value by a copy of this one.

        Args:
            data: The new value.

        Raises:
            DatasetError: The value is None, or cannot be copied.
        """
        kept = copied(data, self.copy_mode)
        with self._lock:
            self._data, self._deferred = kept, None

    def _fetched(self) -> Data:
        with self._lock:
            if self._deferred is not None:
                self._data, self._deferred = self._deferred.fetch(), None
            return self._data

    def _exists(self) -> bool:
        return not self.is_empty

    def _release(self) -> None:
        with self._lock:
            self._data, self._deferred = _EMPTY, None

    def _describe(self) -> dict[str, Any]:
        return {"data": self._data_text(), "copy_mode": self.copy_mode}

    def _data_text(self) -> str | None:
        if self._deferred is not None:
            return f"<{describe_deferred(self._deferred)}>"
        return None if self._data is _EMPTY else f"<{type(self._data).__name__}>"

    def __getstate__(self) -> dict[str, Any]:
        # The process that unpickles it may not reach the place of a deferred value.
        self._fetched()
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())
