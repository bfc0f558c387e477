"""Datasets by name."""

from __future__ import annotations

import difflib
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from penstock._pickling import why_not_sendable
from penstock.errors import CannotSendError, DatasetAlreadyExistsError, DatasetError, DatasetNotFoundError
from penstock.io.dataset import is_dataset, is_dataset_error
from penstock.io.memory import MemoryDataset

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike

_LOG = logging.getLogger(__name__)


class DataCatalog:
    """Names, and the dataset that each of them stands for.

    An object with `load`, `save`, `exists` and `release` is a dataset, whoever wrote it; anything else is data and is
    put into a `MemoryDataset`. Several threads may use a catalog at once.

    Args:
        datasets: Datasets or data by name.
        validation_enabled: Kept for Kedro's sake; it changes nothing here.
    """

    def __init__(self, datasets: Mapping[str, Any] | None = None, *, validation_enabled: bool = True) -> None:
        self.validation_enabled = validation_enabled
        # Look-ups take the lock as well: a dataset that is being replaced is gone for a moment.
        self._lock = threading.RLock()
        self._dataset_by_name: dict[str, DatasetLike] = {}
        for name, dataset in (datasets or {}).items():
            self._dataset_by_name[name] = _as_dataset(dataset)

    # Names and datasets

    def keys(self) -> list[str]:
        """All names, in order of registration."""
        with self._lock:
            return list(self._dataset_by_name)

    def values(self) -> list[DatasetLike]:
        """All datasets, in order of registration."""
        with self._lock:
            return list(self._dataset_by_name.values())

    def items(self) -> list[tuple[str, DatasetLike]]:
        """All names with their datasets, in order of registration."""
        with self._lock:
            return list(self._dataset_by_name.items())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        with self._lock:
            return len(self._dataset_by_name)

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return name in self._dataset_by_name

    def get(self, key: str, fallback_to_runtime_pattern: bool = False) -> DatasetLike | None:  # noqa: FBT001, FBT002 - Kedro's signature
        """The dataset of that name, or None.

        Args:
            key: A name.
            fallback_to_runtime_pattern: Register a new, empty `MemoryDataset` for an unknown name and return it.
        """
        with self._lock:
            if fallback_to_runtime_pattern and key not in self._dataset_by_name:
                self._dataset_by_name[key] = MemoryDataset()
            return self._dataset_by_name.get(key)

    def __getitem__(self, name: str) -> DatasetLike:
        dataset = self.get(name)
        if dataset is None:
            raise DatasetNotFoundError(_not_found(name, self.keys()))
        return dataset

    def __setitem__(self, name: str, dataset: Any) -> None:
        made = _as_dataset(dataset)
        with self._lock:
            if name in self._dataset_by_name:
                _LOG.warning("Dataset %r is replaced", name)
                # Registered anew, so it goes to the end.
                del self._dataset_by_name[name]
            self._dataset_by_name[name] = made

    def add(self, name: str, dataset: Any) -> None:
        """Register a new dataset, or data.

        Raises:
            DatasetAlreadyExistsError: the name is taken.
        """
        made = _as_dataset(dataset)
        with self._lock:
            if self._dataset_by_name.setdefault(name, made) is not made:
                raise DatasetAlreadyExistsError(
                    f"The catalog has a dataset {name!r} already; write catalog[{name!r}] = ... to replace it"
                )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DataCatalog):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # a catalog changes

    def __repr__(self) -> str:
        return "\n".join(f"{name!r}: {dataset!r}" for name, dataset in self.items())

    def _ipython_key_completions_(self) -> list[str]:
        return self.keys()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            state = vars(self) | {"_dataset_by_name": self._dataset_by_name.copy()}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    # What is done with a dataset of some name

    def load(self, name: str) -> Data:
        """What the dataset of that name gives.

        Raises:
            DatasetNotFoundError: there is no such name.
            DatasetError: it could not be loaded; the text begins with the name.
        """
        dataset = self[name]
        _LOG.info("Load %s (%s)", name, type(dataset).__name__)
        with _named(name):
            return dataset.load()

    def save(self, name: str, data: Data) -> None:
        """Replace the data of the dataset of that name.

        Raises:
            DatasetNotFoundError: there is no such name.
            DatasetError: it could not be saved; the text begins with the name.
        """
        dataset = self[name]
        _LOG.info("Save %s (%s)", name, type(dataset).__name__)
        with _named(name):
            dataset.save(data)

    def exists(self, name: str) -> bool:
        """Whether the dataset of that name has something to load; False for an unknown name.

        Raises:
            DatasetError: the dataset could not tell; the text begins with the name.
        """
        dataset = self.get(name)
        if dataset is None:
            return False
        with _named(name):
            return dataset.exists()

    def release(self, name: str) -> None:
        """Have the dataset of that name let go of what it keeps in memory.

        Raises:
            DatasetNotFoundError: there is no such name.
            DatasetError: it could not be released; the text begins with the name.
        """
        dataset = self[name]
        with _named(name):
            dataset.release()

    def confirm(self, name: str) -> None:
        """Tell the dataset of that name that its data has been dealt with.

        Raises:
            DatasetNotFoundError: there is no such name.
            DatasetError: the dataset has no `confirm` method, or failed in it; the text begins with the name.
        """
        dataset = self[name]
        confirm = getattr(dataset, "confirm", None)
        if not callable(confirm):
            raise DatasetError(f"{name}: a {type(dataset).__name__} has no confirm method")
        _LOG.info("Confirm %s", name)
        with _named(name):
            confirm()

    # Questions

    def get_type(self, name: str) -> str | None:
        """The class of the dataset of that name as `module.Class`; None for an unknown name."""
        dataset = self.get(name)
        return None if dataset is None else _type_text(dataset)

    def filter(
        self,
        name_regex: str | re.Pattern[str] | None = None,
        type_regex: str | re.Pattern[str] | None = None,
        by_type: type | list[type] | None = None,
    ) -> list[str]:
        """The names that pass all conditions, in order of registration.

        Args:
            name_regex: Searched in the name.
            type_regex: Searched in `module.Class` of the dataset.
            by_type: One class or several; subclasses do not count.
        """
        classes = [by_type] if isinstance(by_type, type) else by_type
        return [
            name
            for name, dataset in self.items()
            if (name_regex is None or re.search(name_regex, name))
            and (type_regex is None or re.search(type_regex, _type_text(dataset)))
            and (classes is None or type(dataset) in classes)
        ]


class SharedMemoryDataCatalog(DataCatalog):
    """A catalog that can tell whether its datasets may travel to other processes."""

    def validate_catalog(self) -> None:
        """Check that every dataset can be sent to another process.

        Raises:
            CannotSendError: some cannot, each with its reason; it is an AttributeError.
        """
        reasons = {name: _why_not_sendable(dataset) for name, dataset in self.items()}
        reason_by_name = {name: reason for name, reason in reasons.items() if reason}
        if reason_by_name:
            raise CannotSendError(reason_by_name)


def _why_not_sendable(dataset: DatasetLike) -> str | None:
    if isinstance(dataset, MemoryDataset) and dataset.deferred is not None:
        # The value came from another process, and pickling it would bring it here.
        return None
    return why_not_sendable(dataset)


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_dataset_error(error):
            raise
        raise DatasetError(f"{name}: {error}") from error


def _as_dataset(thing: Any) -> DatasetLike:
    return thing if is_dataset(thing) else MemoryDataset(thing)


def _type_text(dataset: DatasetLike) -> str:
    return f"{type(dataset).__module__}.{type(dataset).__qualname__}"


def _not_found(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(str(name), known)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"The catalog has no dataset {name!r}{hint}"
