"""`AbstractDataset`, the base of all datasets: plain `load` and `save` methods become a dataset with uniform errors.

A subclass defines `load`, `save` and `_describe` (or `_load` and `_save`, the older names) and, if it can, `_exists` and
`_release`. When the class is created, its public methods are wrapped: the wrapper logs each call, and turns any error into
a `DatasetError` that names the dataset. Inherited methods are wrapped already.
"""

from __future__ import annotations

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

from penstock.errors import DatasetError
from penstock.io.redaction import hide_in_error, without_secret_options, without_url_secrets

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike

_LOG = logging.getLogger(__name__)

# A missing file or folder during a save is a problem of the user's storage: callers handle it by its own class.
_UNCHANGED_ERRORS = {"save": (DatasetError, FileNotFoundError, NotADirectoryError), "load": (DatasetError,)}

_IS_WRAPPED = "_is_wrapped"
"""The attribute that marks a wrapped method."""


def _wrap_methods(cls: type) -> None:
    """Wrap the public methods that this class itself defines."""
    own = vars(cls)
    for operation in ("load", "save", "exists", "release"):
        has_older_name = operation not in own and operation in {"load", "save"}
        defined = f"_{operation}" if has_older_name else operation
        if defined in own:
            setattr(cls, operation, with_dataset_errors(operation, own[defined]))


def with_dataset_errors(operation: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a dataset, whose errors name the dataset and the operation."""
    if getattr(method, _IS_WRAPPED, False) or getattr(method, "__isabstractmethod__", False):
        return method
    unchanged = _UNCHANGED_ERRORS.get(operation, ())

    @functools.wraps(method)
    def public(self: AbstractDataset, /, *args: Any, **kwargs: Any) -> Any:
        _LOG.debug("%s: %s", operation, self)
        if operation == "save":
            _refuse_none(self, *args, **kwargs)
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            is_clean = hide_in_error(error, self._hide)
            if isinstance(error, unchanged):
                raise
            text = f"Cannot {operation} {self}: {_error_text(error)}"
            failure, cause = DatasetError(self._hide(text)), error
        # Outside of the handler, so that an error that may still show secrets is not attached as the context.
        raise failure from (cause if is_clean else None)

    setattr(public, _IS_WRAPPED, True)
    return public


def _refuse_none(dataset: AbstractDataset, *args: Data, **kwargs: Data) -> None:
    if next(iter((*args, *kwargs.values())), dataset) is None:
        raise DatasetError(f"Cannot save None to {dataset}: None means that there is nothing to save")


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class AbstractDataset(ABC):
    """The base class of datasets: one way to load, save, check and release data, whatever stores it.

    Subclasses define `load()`, `save(data)` and `_describe()`, and can define `_exists()`, `_release()` and `confirm()`.
    An error in one of them reaches the caller as a `DatasetError` with the original error as its cause. `save` passes
    three errors on unchanged: `DatasetError`, `FileNotFoundError` and `NotADirectoryError`. `None` cannot be saved.

    Attributes:
        _EPHEMERAL: True if the data does not outlive the process; on the class or on an instance.
        _SINGLE_PROCESS: True if the dataset must not be sent to another process; on the class or on an instance.

    Example:
        >>> from pathlib import Path
        >>> from penstock.io import AbstractDataset
        >>> class NumberDataset(AbstractDataset):
        ...     def __init__(self, path):
        ...         self.path = path
        ...     def load(self):
        ...         return int(Path(self.path).read_text())
        ...     def save(self, data):
        ...         Path(self.path).write_text(str(data))
        ...     def _exists(self):
        ...         return Path(self.path).exists()
        ...     def _describe(self):
        ...         return {"path": self.path}
        >>> number = NumberDataset("number.txt")
        >>> number.exists()
        False
        >>> number.save(42)
        >>> number.load()
        42
        >>> number.release()
        >>> number.save(None)
        Traceback (most recent call last):
        ...
        penstock.errors.DatasetError: Cannot save None to ...NumberDataset(path='number.txt'): None means that there is nothing to save
    """

    _EPHEMERAL: bool = False
    _SINGLE_PROCESS: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _wrap_methods(cls)

    @abstractmethod
    def load(self) -> Data:
        """Load the data.

        Returns:
            The stored data.

        Raises:
            DatasetError: The data cannot be loaded; the cause is in `__cause__`.
        """

    @abstractmethod
    def save(self, data: Data) -> None:
        """Replace the stored data.

        Args:
            data: The new data.

        Raises:
            DatasetError: The data cannot be saved, or is None.
        """

    @abstractmethod
    def _describe(self) -> dict[str, Any]:
        """The arguments that `repr` shows, by name; it leaves out values that are None."""

    def exists(self) -> bool:
        """Check whether there is data to load.

        Returns:
            Whether there is; False, with a warning in the log, if the class has no `_exists` method.

        Raises:
            DatasetError: The check failed.
        """
        return self._exists()

    def release(self) -> None:
        """Free memory and drop caches; a dataset in memory drops its data.

        Raises:
            DatasetError: The release failed.
        """
        self._release()

    def _exists(self) -> bool:
        _LOG.warning("%s has no _exists method: its data is treated as missing", self)
        return False

    def _release(self) -> None:  # noqa: B027 - most have nothing to release
        """Called by `release`."""

    def _hide(self, text: str) -> str:
        return without_url_secrets(text)

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        try:
            described = self._describe()
        except Exception as error:  # noqa: BLE001 - errors show the dataset, and must not be replaced by this one
            described, problem = None, f"it raised {type(error).__name__}: {error}"
        else:
            problem = f"it returned: {type(described).__name__}"
        if not isinstance(described, dict):
            _LOG.warning("%s._describe() must return a dict, %s", name, problem)
            described = {}
        shown = without_secret_options({key: value for key, value in described.items() if value is not None})
        arguments = ", ".join(f"{key}={value!r}" for key, value in shown.items())
        return self._hide(f"{name}({arguments})")


_wrap_methods(AbstractDataset)


def is_dataset_error(error: BaseException) -> bool:
    """Whether it is a `DatasetError`, ours or Kedro's. The check is by class name, so that it does not import Kedro."""
    return any(cls.__name__ == DatasetError.__name__ for cls in type(error).__mro__)


def is_dataset(thing: object) -> TypeGuard[DatasetLike]:
    """Whether the thing has the methods `load`, `save`, `exists` and `release`. A class itself is data, not a dataset.

    The methods are looked up on its class: some objects, for instance of `dask.delayed`, have every attribute.
    """
    return isinstance(thing, AbstractDataset) or (
        not isinstance(thing, type)
        and all(
            callable(getattr(type(thing), method, None)) for method in ("load", "save", "exists", "release")
        )
    )
