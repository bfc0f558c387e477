"""The catalog: datasets by name."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from penstock._pickling import why_not_sendable
from penstock._similar import similar_names
from penstock.errors import CannotSendError, DatasetAlreadyExistsError, DatasetError, DatasetNotFoundError
from penstock.io.dataset import is_dataset, is_dataset_error
from penstock.io.memory import MemoryDataset

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike

_LOG = logging.getLogger(__name__)


class DataCatalog:
    """Datasets by name.

    Any object with `load`, `save`, `exists` and `release` is a dataset, also if its class is not one of ours. Anything
    else is data, and becomes a `MemoryDataset`. Several threads can use a catalog at the same time.

    Args:
        datasets: Datasets or data by name.
        validation_enabled: Accepted for compatibility with Kedro, and ignored.

    Raises:
        TypeError: `datasets` is not a dict.

    Example:
        >>> from penstock.io import DataCatalog, JSONDataset
        >>> catalog = DataCatalog({"rate": 0.5, "metrics": JSONDataset("metrics.json")})
        >>> catalog.exists("metrics")
        False
        >>> catalog.save("metrics", {"rmse": 0.25})
        >>> catalog.load("metrics")
        {'rmse': 0.25}
        >>> catalog["numbers"] = [1, 2]
        >>> catalog.keys(), "numbers" in catalog, len(catalog)
        (['rate', 'metrics', 'numbers'], True, 3)
        >>> [dataset.load() for dataset in catalog.values()]
        [0.5, {'rmse': 0.25}, [1, 2]]
        >>> {name: dataset.load() for name, dataset in catalog.items()}
        {'rate': 0.5, 'metrics': {'rmse': 0.25}, 'numbers': [1, 2]}
        >>> catalog["number"]
        Traceback (most recent call last):
        ...
        penstock.errors.DatasetNotFoundError: The catalog has no dataset 'number'; did you mean numbers?
    """

    def __init__(self, datasets: Mapping[str, Any] | None = None, *, validation_enabled: bool = True) -> None:
        if datasets is not None and not isinstance(datasets, Mapping):
            raise TypeError(f"datasets is a {type(datasets).__name__}; give a dict of datasets by name")
        self.validation_enabled = validation_enabled
        # Look-ups take the lock as well, since a dataset is missing for a moment while it is replaced.
        self._lock = threading.RLock()
        self._dataset_by_name = {name: _as_dataset(each) for name, each in (datasets or {}).items()}

    # Names and datasets

    def keys(self) -> list[str]:
        """All names.

        Returns:
            The names in the order of registration.
        """
        with self._lock:
            return list(self._dataset_by_name)

    def values(self) -> list[DatasetLike]:
        """All datasets.

        Returns:
            The datasets in the order of registration.
        """
        with self._lock:
            return list(self._dataset_by_name.values())

    def items(self) -> list[tuple[str, DatasetLike]]:
        """All names with their datasets.

        Returns:
            Pairs in the order of registration.
        """
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
        """The dataset with this name.

        Args:
            key: A name.
            fallback_to_runtime_pattern: Register a new, empty `MemoryDataset` for an unknown name, and return it.

        Returns:
            The dataset, or None for an unknown name.

        Example:
            >>> from penstock.io import DataCatalog
            >>> DataCatalog({"a": 1}).get("a")
            penstock.io.memory.MemoryDataset(data='<int>')
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
                _LOG.warning("Replacing dataset %r", name)
                # A replaced dataset is registered again, at the end.
                del self._dataset_by_name[name]
            self._dataset_by_name[name] = made

    def add(self, name: str, dataset: Any) -> None:
        """Register a new dataset, or data.

        Args:
            name: A name that the catalog does not have yet.
            dataset: A dataset; anything else becomes a `MemoryDataset`.

        Raises:
            DatasetAlreadyExistsError: The catalog has a dataset with this name.

        Example:
            >>> from penstock.io import DataCatalog
            >>> catalog = DataCatalog()
            >>> catalog.add("a", 1)
            >>> catalog.load("a")
            1
        """
        made = _as_dataset(dataset)
        with self._lock:
            if self._dataset_by_name.setdefault(name, made) is not made:
                raise DatasetAlreadyExistsError(
                    f"The catalog already has a dataset {name!r}; write catalog[{name!r}] = ... to replace it"
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

    # Loading and saving by name

    def load(self, name: str) -> Data:
        """Load the data of the dataset with this name.

        Args:
            name: The name of a dataset.

        Returns:
            The data.

        Raises:
            DatasetNotFoundError: The catalog does not have this name.
            DatasetError: The dataset cannot be loaded; the text begins with the name.
        """
        with self._naming_errors(name) as dataset:
            _LOG.info("Load %s (%s)", name, type(dataset).__name__)
            return dataset.load()

    def save(self, name: str, data: Data) -> None:
        """Replace the data of the dataset with this name.

        Args:
            name: The name of a dataset.
            data: The new data.

        Raises:
            DatasetNotFoundError: The catalog does not have this name.
            DatasetError: The data cannot be saved; the text begins with the name.
        """
        with self._naming_errors(name) as dataset:
            _LOG.info("Save %s (%s)", name, type(dataset).__name__)
            dataset.save(data)

    def exists(self, name: str) -> bool:
        """Check whether the dataset with this name has data to load.

        Args:
            name: A name.

        Returns:
            Whether it has; False for an unknown name.

        Raises:
            DatasetError: The check failed; the text begins with the name.
        """
        if self.get(name) is None:
            return False
        with self._naming_errors(name) as dataset:
            return dataset.exists()

    def release(self, name: str) -> None:
        """Free memory and drop caches of the dataset with this name.

        Args:
            name: The name of a dataset.

        Raises:
            DatasetNotFoundError: The catalog does not have this name.
            DatasetError: The release failed; the text begins with the name.

        Example:
            >>> from penstock.io import DataCatalog
            >>> catalog = DataCatalog({"a": 1})
            >>> catalog.release("a")
            >>> catalog.exists("a")
            False
        """
        with self._naming_errors(name) as dataset:
            dataset.release()

    def confirm(self, name: str) -> None:
        """Call `confirm` of the dataset with this name: its data has been processed.

        Args:
            name: The name of a dataset.

        Raises:
            DatasetNotFoundError: The catalog does not have this name.
            DatasetError: The dataset has no `confirm` method, or the method failed; the text begins with the name.

        Example:
            >>> from penstock.io import DataCatalog, MemoryDataset
            >>> class Queue(MemoryDataset):
            ...     def confirm(self):
            ...         print("processed")
            >>> DataCatalog({"messages": Queue()}).confirm("messages")
            processed
        """
        confirm = getattr(self[name], "confirm", None)
        if not callable(confirm):
            raise DatasetError(f"{name}: a {type(self[name]).__name__} has no confirm method")
        _LOG.info("Confirm %s", name)
        with self._naming_errors(name):
            confirm()

    @contextmanager
    def _naming_errors(self, name: str) -> Iterator[DatasetLike]:
        """The dataset with this name, whose errors begin with the name inside the block."""
        dataset = self[name]
        try:
            yield dataset
        except Exception as error:
            if not is_dataset_error(error):
                raise
            raise DatasetError(f"{name}: {error}") from error

    # Searching

    def get_type(self, name: str) -> str | None:
        """The class of the dataset with this name.

        Args:
            name: A name.

        Returns:
            The class as `module.Class`; None for an unknown name.

        Example:
            >>> from penstock.io import DataCatalog
            >>> DataCatalog({"a": 1}).get_type("a")
            'penstock.io.memory.MemoryDataset'
        """
        dataset = self.get(name)
        return None if dataset is None else _type_text(dataset)

    def filter(
        self,
        name_regex: str | re.Pattern[str] | None = None,
        type_regex: str | re.Pattern[str] | None = None,
        by_type: type | list[type] | None = None,
    ) -> list[str]:
        """The names that meet all given conditions.

        Args:
            name_regex: A regular expression that is searched in the name.
            type_regex: A regular expression that is searched in the class, as `get_type` returns it.
            by_type: One class or several; subclasses do not count.

        Returns:
            The names in the order of registration.

        Example:
            >>> from penstock.io import DataCatalog, JSONDataset
            >>> catalog = DataCatalog({"rate": 1, "metrics": JSONDataset("metrics.json")})
            >>> catalog.filter(by_type=JSONDataset), catalog.filter(name_regex="^r")
            (['metrics'], ['rate'])
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
    """A catalog that can check whether its datasets can be sent to other processes.

    `ParallelRunner` accepts any catalog and makes this check itself; the class is for scripts that come from Kedro. It
    has the arguments and methods of `DataCatalog`.

    Example:
        >>> import threading
        >>> from penstock.io import MemoryDataset, SharedMemoryDataCatalog
        >>> lock = MemoryDataset(threading.Lock(), copy_mode="assign")
        >>> SharedMemoryDataCatalog({"lock": lock, "rate": 0.5}).validate_catalog()
        Traceback (most recent call last):
        ...
        penstock.errors.CannotSendError: These cannot be sent to another process:
          lock: ... cannot pickle '_thread.lock' object
        Make them picklable, or run in this process: SequentialRunner or ThreadRunner
    """

    def validate_catalog(self) -> None:
        """Check that every dataset can be sent to another process.

        Raises:
            CannotSendError: Some cannot; the error has a reason for each. It is an `AttributeError`.
        """
        reasons = {name: reason for name, each in self.items() if (reason := _why_not_sendable(each))}
        if reasons:
            raise CannotSendError(reasons)


def _why_not_sendable(dataset: DatasetLike) -> str | None:
    if isinstance(dataset, MemoryDataset) and dataset.deferred is not None:
        # The value is in another process, and pickling the dataset would fetch it.
        return None
    return why_not_sendable(dataset)


def _as_dataset(thing: Any) -> DatasetLike:
    return thing if is_dataset(thing) else MemoryDataset(thing)


def _type_text(dataset: DatasetLike) -> str:
    return f"{type(dataset).__module__}.{type(dataset).__qualname__}"


def _not_found(name: str, known: list[str]) -> str:
    close = similar_names([str(name)], known)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"The catalog has no dataset {name!r}{hint}"
