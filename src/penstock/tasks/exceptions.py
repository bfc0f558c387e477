"""Sends exceptions to the driver: an exception arrives as the same exception if it can be pickled, and else as text.

A worker packs what a task raises (`pack_error`), the driver unpacks it (`unpack_error`).
"""

from __future__ import annotations

import builtins
import contextlib
import sys
import traceback
from dataclasses import dataclass
from typing import Any

import cloudpickle

from penstock.errors import NodeError

MAX_TEXT_LENGTH = 4_000
"""A packed exception shows this many characters of its traceback in Dask's logs; it carries the whole traceback."""

_TRACEBACK_START = "Traceback (most recent call last)"
"""The first line of a traceback that Python prints."""


class PackedError(Exception):
    """An exception between worker and driver, in a form that always pickles.

    Args:
        task: The task that failed, as `str` of its work: "node 'train' (inputs: data)".
        payload: The exception, pickled with its notes and causes; empty if it cannot be pickled.
        text: Its traceback, as Python prints it.
    """

    def __init__(self, task: str, payload: bytes, text: str) -> None:
        super().__init__(task, payload, text)
        self.task, self.payload, self.text = task, payload, text

    def __repr__(self) -> str:
        # Dask logs it when a task fails; the payload is thousands of unreadable bytes.
        return f"{type(self).__name__}({self.task!r})"

    def __str__(self) -> str:
        # Dask replaces an exception whose text is longer than 10,000 characters.
        return f"{self.task} failed:\n{self.text[-MAX_TEXT_LENGTH:]}"


@dataclass(frozen=True)
class _ErrorParts:
    """The parts of an exception whose constructor takes other arguments than it passes to `Exception`."""

    cls: type[BaseException]
    args: tuple[object, ...]
    attributes: dict[str, object]
    inner: list[_ErrorWithCauses]
    """The exceptions of an exception group."""

    def rebuilt(self) -> BaseException:
        """The exception, made without a call of its constructor."""
        args = (self.args[0], [each.restored() for each in self.inner]) if self.inner else self.args
        error = self.cls.__new__(self.cls, *args)
        error.args = args
        # Python's own exceptions keep more than their arguments, for instance the code of a SystemExit.
        built_in: Any = next(cls for cls in self.cls.__mro__ if cls.__module__ == "builtins")
        with contextlib.suppress(TypeError):
            built_in.__init__(error, *args)
        vars(error).update(self.attributes)
        return error


@dataclass(frozen=True)
class _ErrorWithCauses:
    """An exception with its notes and causes, which pickle leaves out."""

    error: BaseException | _ErrorParts
    notes: list[str]
    causes: list[tuple[BaseException, bool]]
    """The chain of causes, nearest first; True for a `__cause__` of the exception before, False for its `__context__`."""

    def restored(self) -> BaseException:
        """The exception with its notes and causes."""
        error = below = self.error.rebuilt() if isinstance(self.error, _ErrorParts) else self.error
        if self.notes:
            vars(error)["__notes__"] = self.notes
        for above, is_cause in self.causes:
            if is_cause:
                below.__cause__ = above
            else:
                below.__context__ = above
            below = above
        return error


def pack_error(error: BaseException, task: str) -> PackedError:
    """The exception to raise in a worker process in place of `error`."""
    picklable = _with_causes(error)
    payload = b"" if picklable is None else bytes(cloudpickle.dumps(picklable))
    return PackedError(task, payload, "".join(traceback.format_exception(error)))


def unpack_error(packed: PackedError) -> BaseException:
    """The exception that was raised, with the worker's traceback as a note, or a `NodeError` with its text."""
    error = _unpickled(packed.payload) if packed.payload else None
    if error is None:
        return NodeError(packed.task, packed.text)
    # tblib, which distributed installs, pickles the traceback itself. An exception that was never raised has none.
    if error.__traceback__ is None and _TRACEBACK_START in packed.text:
        add_note(error, f"Traceback in the worker:\n\n{packed.text.rstrip()}")
    return error


def add_note(error: BaseException, note: str) -> None:
    """Add a note to the error. Python 3.11 and later print it below the traceback; 3.10 only keeps it in `__notes__`."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        vars(error)["__notes__"] = [*vars(error).get("__notes__", []), note]


def _with_causes(error: BaseException) -> _ErrorWithCauses | None:
    """The exception in the first form that can be pickled and comes back the same; None if there is no such form.

    An exception whose constructor takes other arguments than it passes to `Exception` can be pickled, and fails or has another
    text when it is unpickled. So it is unpickled here as well.
    """
    notes, causes = list(getattr(error, "__notes__", [])), _causes(error)
    for form in _forms(error):
        candidate = _ErrorWithCauses(form, notes, causes)
        try:
            payload: bytes = cloudpickle.dumps(candidate)
        except Exception:  # noqa: BLE001, S112 - a user's exception may raise anything when it is pickled
            continue
        if _is_same(_unpickled(payload), error):
            return candidate
    return None


_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())


def _forms(error: BaseException) -> list[BaseException | _ErrorParts]:
    """The forms in which to try to pickle the exception, the best first."""
    if not isinstance(error, _GROUP):
        return [error, _ErrorParts(type(error), error.args, vars(error), [])]
    group: Any = error
    inner = [_with_causes(each) or _ErrorWithCauses(_as_text(each), [], []) for each in group.exceptions]
    return [_ErrorParts(type(error), error.args[:1], vars(error), inner)]


def _is_same(copy: BaseException | None, error: BaseException) -> bool:
    # Some exceptions cannot even be printed.
    with contextlib.suppress(Exception):
        has_same_code = getattr(copy, "code", None) == getattr(error, "code", None)
        return type(copy) is type(error) and str(copy) == str(error) and bool(has_same_code)
    return False


def _unpickled(payload: bytes) -> BaseException | None:
    # The class may not exist here, or its constructor may refuse.
    with contextlib.suppress(Exception):
        packed: _ErrorWithCauses = cloudpickle.loads(payload)
        return packed.restored()
    return None


def _causes(error: BaseException) -> list[tuple[BaseException, bool]]:
    """The exceptions that Python prints above `error`, nearest first; one that cannot be pickled is replaced by its text."""
    causes: list[tuple[BaseException, bool]] = []
    seen = {id(error)}
    below: BaseException = error
    while (above := _cause(below)) is not None and id(above) not in seen:
        seen.add(id(above))
        causes.append((_picklable(above), below.__cause__ is not None))
        below = above
    return causes


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _picklable(error: BaseException) -> BaseException:
    with contextlib.suppress(Exception):
        if type(cloudpickle.loads(cloudpickle.dumps(error))) is type(error):
            return error
    return _as_text(error)


def _as_text(error: BaseException) -> NodeError:
    return NodeError(type(error).__name__, str(error))
