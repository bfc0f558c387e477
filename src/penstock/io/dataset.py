"""The base of datasets: what a subclass writes as plain code becomes a dataset that fails in one way only.

A subclass gives `load`, `save` and `_describe` (or `_load` and `_save`, the older spelling) and, if it can, `_exists`
and `_release`. When the class is made, the public methods that it brings are dressed: calls are logged, and whatever
goes wrong comes out as a `DatasetError` that says which dataset it was. An inherited method is dressed already.
"""

from __future__ import annotations

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeGuard, TypeVar

from penstock.errors import DatasetError
from penstock.io.redaction import hide_in_error, without_secret_options, without_url_secrets

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike

_LOG = logging.getLogger(__name__)

_Dataset = TypeVar("_Dataset", bound="AbstractDataset")
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

# A missing file or folder on the way to a save is a state of the user's storage: callers handle it under its own name.
_PASSES = {"save": (DatasetError, FileNotFoundError, NotADirectoryError), "load": (DatasetError,)}


def _dressed(
    work: str,
) -> Callable[
    [Callable[Concatenate[_Dataset, _Arguments], _Result]],
    Callable[Concatenate[_Dataset, _Arguments], _Result],
]:
    passes = _PASSES.get(work, ())

    def dress(
        method: Callable[Concatenate[_Dataset, _Arguments], _Result],
    ) -> Callable[Concatenate[_Dataset, _Arguments], _Result]:
        if getattr(method, "_is_dressed", False) or getattr(method, "__isabstractmethod__", False):
            return method

        @functools.wraps(method)
        def public(self: _Dataset, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
            _LOG.debug("%s: %s", work, self)
            if work == "save":
                _refuse_none(self, *args, **kwargs)
            try:
                return method(self, *args, **kwargs)
            except Exception as error:
                is_clean = hide_in_error(error, self._hide)
                if isinstance(error, passes):
                    raise
                failure, cause = DatasetError(self._hide(f"Cannot {work} {self}: {_told(error)}")), error
            # Out of the handler: an error that cannot be cleaned must not come along as the context either.
            raise failure from (cause if is_clean else None)

        public._is_dressed = True  # type: ignore[attr-defined]
        return public

    return dress


def _refuse_none(dataset: AbstractDataset, *args: Data, **kwargs: Data) -> None:
    if next(iter((*args, *kwargs.values())), dataset) is None:
        raise DatasetError(f"Cannot save None to {dataset}: None means that there is nothing to save")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class AbstractDataset(ABC):
    """Data that lives somewhere, under one way to load, save, ask and release it.

    Subclasses give `load()`, `save(data)` and `_describe()`, and may give `_exists()`, `_release()` and `confirm()`.
    Whatever they raise reaches the caller as a `DatasetError` with the original as its cause. Three errors leave `save`
    as they are: `DatasetError`, `FileNotFoundError` and `NotADirectoryError`. `None` is never saved.

    Attributes:
        _EPHEMERAL: True when the data does not outlive the process; on the class or on an instance.
        _SINGLE_PROCESS: True when the dataset must not travel to another process; on the class or on an instance.
    """

    _EPHEMERAL: bool = False
    _SINGLE_PROCESS: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        for work in ("load", "save", "exists", "release"):
            spelling = work if work in own or work in {"exists", "release"} else f"_{work}"
            if spelling in own:
                setattr(cls, work, _dressed(work)(own[spelling]))

    @abstractmethod
    def load(self) -> Data:
        """The stored data.

        Raises:
            DatasetError: it could not be loaded, for whatever reason.
        """

    @abstractmethod
    def save(self, data: Data) -> None:
        """Replace the stored data.

        Raises:
            DatasetError: it could not be saved, or is None.
        """

    @abstractmethod
    def _describe(self) -> dict[str, Any]:
        """What `repr` shows, argument by argument; values that are None are left out."""

    @_dressed("exists")
    def exists(self) -> bool:
        """Whether there is something to load; False, with a warning in the log, where a subclass cannot tell.

        Raises:
            DatasetError: nobody could tell.
        """
        return self._exists()

    @_dressed("release")
    def release(self) -> None:
        """Let go of what is kept in memory or cached; a dataset in memory forgets its data.

        Raises:
            DatasetError: it could not be released.
        """
        self._release()

    def _exists(self) -> bool:
        _LOG.warning(
            "%s cannot tell whether its data exists (it has no _exists method): taken as missing", self
        )
        return False

    def _release(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Called by `release`."""

    def _hide(self, text: str) -> str:
        return without_url_secrets(text)

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        try:
            described = self._describe()
        except Exception as error:  # noqa: BLE001 - an error about the dataset shows it, and must not be hidden
            described, problem = None, f"it raised {type(error).__name__}: {error}"
        else:
            problem = f"it returned: {type(described).__name__}"
        if not isinstance(described, dict):
            _LOG.warning("%s._describe() must return a dict, %s", name, problem)
            described = {}
        told = without_secret_options({key: value for key, value in described.items() if value is not None})
        shown = ", ".join(f"{key}={value!r}" for key, value in told.items())
        return self._hide(f"{name}({shown})")


def is_dataset_error(error: BaseException) -> bool:
    """Whether a dataset could not be loaded or saved; by name, so that the errors of Kedro's datasets count without Kedro."""
    return any(cls.__name__ == DatasetError.__name__ for cls in type(error).__mro__)


def is_dataset(thing: object) -> TypeGuard[DatasetLike]:
    """Whether the thing can be loaded, saved, asked and released, whoever wrote it. A class is data.

    Its class is asked: things that have any attribute that they are asked for, like those of `dask.delayed`, are data.
    """
    return isinstance(thing, AbstractDataset) or (
        not isinstance(thing, type)
        and all(
            callable(getattr(type(thing), method, None)) for method in ("load", "save", "exists", "release")
        )
    )
