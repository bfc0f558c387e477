"""Sends exceptions to the driver: an exception arrives as the same exception if it can be pickled, and else as text.

A worker packs what a task raises (`pack_error`), the driver unpacks it (`unpack_error`).
"""

from __future__ import annotations

import builtins
import contextlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cloudpickle

from penstock.errors import NodeError
from penstock.logs.current_node import CURRENT_NODE
from penstock.tasks.tracebacks import Frame, frames_of, rebuilt, with_files

MAX_TEXT_LENGTH = 4_000
"""A packed exception shows this many characters of its traceback in Dask's logs; it carries the whole traceback."""


class PackedError(Exception):
    """An exception between worker and driver, in a form that always pickles.

    Args:
        task: The task that failed, as `str` of its work: "node 'train' (inputs: data)".
        payload: The exception, pickled with its notes and causes; empty if it cannot be pickled.
        text: Its traceback, as Python prints it.
        node: The name of the node that the task is of; empty if it is not known.
    """

    def __init__(self, task: str, payload: bytes, text: str, node: str = "") -> None:
        super().__init__(task, payload, text, node)
        self.task, self.payload, self.text, self.node = task, payload, text, node

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

    def rebuilt(self, functions: Iterable[Any] | None) -> BaseException:
        """The exception, made without a call of its constructor."""
        args = (self.args[0], [each.restored(functions) for each in self.inner]) if self.inner else self.args
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
    frames: list[list[Frame]]
    """The tracebacks of the exception and of its causes."""

    def restored(self, functions: Iterable[Any] | None = None) -> BaseException:
        """The exception with its notes and causes.

        Args:
            functions: The user's functions, whose files are put back into the tracebacks. None makes no tracebacks.
        """
        error = below = self.error.rebuilt(functions) if isinstance(self.error, _ErrorParts) else self.error
        if self.notes:
            vars(error)["__notes__"] = self.notes
        for above, is_cause in self.causes:
            if is_cause:
                below.__cause__ = above
            else:
                below.__context__ = above
            below = above
        if functions is not None:
            errors = [error, *(cause for cause, _ in self.causes)]
            for each, frames in zip(errors, with_files(self.frames, functions), strict=True):
                each.__traceback__ = rebuilt(frames)
        return error


def pack_error(error: BaseException, task: str, node: str = "") -> PackedError:
    """The exception to raise in a worker process in place of `error`, which a task of the node has raised."""
    picklable = _with_causes(error)
    payload = b"" if picklable is None else bytes(cloudpickle.dumps(picklable))
    current = CURRENT_NODE.get()
    name = node or (current.name if current is not None else "")
    return PackedError(task, payload, "".join(traceback.format_exception(error)), name)


def unpack_error(packed: PackedError, functions: Iterable[Any] = ()) -> BaseException:
    """The exception that was raised, with its traceback, or a `NodeError` with its text.

    Args:
        packed: From a worker.
        functions: The user's functions: their files are put back into the traceback.
    """
    error = _unpickled(packed.payload, functions) if packed.payload else None
    return NodeError(packed.task, packed.text) if error is None else error


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
    frames = [frames_of(each.__traceback__) for each in (error, *_above(error))]
    for form in _forms(error):
        candidate = _ErrorWithCauses(form, notes, causes, frames)
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
    inner = [
        _with_causes(each) or _ErrorWithCauses(_as_text(each), [], [], [[]]) for each in group.exceptions
    ]
    return [_ErrorParts(type(error), error.args[:1], vars(error), inner)]


def _is_same(copy: BaseException | None, error: BaseException) -> bool:
    # Some exceptions cannot even be printed.
    with contextlib.suppress(Exception):
        has_same_code = getattr(copy, "code", None) == getattr(error, "code", None)
        return type(copy) is type(error) and str(copy) == str(error) and bool(has_same_code)
    return False


def _unpickled(payload: bytes, functions: Iterable[Any] | None = None) -> BaseException | None:
    # The class may not exist here, or its constructor may refuse.
    with contextlib.suppress(Exception):
        packed: _ErrorWithCauses = cloudpickle.loads(payload)
        return packed.restored(functions)
    return None


def _causes(error: BaseException) -> list[tuple[BaseException, bool]]:
    """The exceptions that Python prints above `error`, nearest first; one that cannot be pickled is replaced by its text."""
    chain = [error, *_above(error)]
    return [(_picklable(above), below.__cause__ is not None) for below, above in pairwise(chain)]


def _above(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that Python prints above `error`, nearest first."""
    seen = {id(error)}
    while (above := _cause(error)) is not None and id(above) not in seen:
        seen.add(id(above))
        yield above
        error = above


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _picklable(error: BaseException) -> BaseException:
    with contextlib.suppress(Exception):
        if type(cloudpickle.loads(cloudpickle.dumps(error))) is type(error):
            return error
    return _as_text(error)


def _as_text(error: BaseException) -> NodeError:
    return NodeError(type(error).__name__, str(error))
