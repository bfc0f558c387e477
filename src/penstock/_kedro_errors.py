"""Errors of datasets that are errors of Kedro as well, so that `except kedro.io.DatasetError` catches them.

Only programs that have imported Kedro can catch its errors: it is not imported here.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, TypeVar

_ErrorT = TypeVar("_ErrorT", bound=BaseException)

_NAMES = {"DatasetError", "DatasetNotFoundError", "DatasetAlreadyExistsError"}
"""Names of errors that Kedro has, too."""


def new_dataset_error(cls: type[_ErrorT], /, *args: Any, **kwds: Any) -> _ErrorT:
    """The `__new__` of `DatasetError`: where Kedro is imported, the error is of a subclass that inherits from Kedro's error, too."""
    kedros = _kedros_class(cls)
    is_enough = kedros is None or issubclass(cls, kedros)
    made: type[_ErrorT] = cls if is_enough else _class_of_both(cls, kedros)  # type: ignore[arg-type] # classes have a hash
    return BaseException.__new__(made, *args, **kwds)


def _kedros_class(cls: type) -> type | None:
    """Kedro's error with the name of the class, or else with the name of its nearest base."""
    kedro = sys.modules.get("kedro.io.core")
    found = (getattr(kedro, base.__name__, None) for base in cls.__mro__ if base.__name__ in _NAMES)
    return next((error for error in found if error is not None), None)


@functools.cache
def _class_of_both(ours: Any, kedros: Any) -> Any:
    class Both(ours, kedros):  # type: ignore[misc]
        def __reduce__(self) -> tuple[Any, ...]:
            # As an error of `ours`, since another process may not have imported Kedro.
            make, *rest = super().__reduce__()
            return (ours if make is Both else make, *rest)

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(Both, name, getattr(ours, name))
    return Both
