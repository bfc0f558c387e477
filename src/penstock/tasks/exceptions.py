"""How an exception gets home from another process: as itself wherever that is possible, as text where it is not."""

from __future__ import annotations

import builtins
import contextlib
import sys
import traceback
from dataclasses import dataclass
from typing import Any

import cloudpickle

from penstock.errors import NodeError

TEXT_LENGTH = 4_000
"""Characters of the traceback that an exception on its way home shows in Dask's logs; it carries all of it."""

TRACEBACK = "Traceback (most recent call last)"
"""How Python begins one."""


class PackedError(Exception):
    """An exception on its way home, in a form that survives every pickle.

    Args:
        task: What failed, in words: "node train", "load of companies".
        payload: The exception, pickled with its notes and causes; empty if it cannot be pickled.
        text: Its traceback, as Python prints it.
    """

    def __init__(self, task: str, payload: bytes, text: str) -> None:
        super().__init__(task, payload, text)
        self.task, self.payload, self.text = task, payload, text

    def __repr__(self) -> str:
        # Dask logs it when a task fails; the payload is thousands of bytes that nobody can read.
        return f"{type(self).__name__}({self.task!r})"

    def __str__(self) -> str:
        # Dask puts another exception in the place of one whose text is longer than 10,000 characters.
        return f"{self.task} failed:\n{self.text[-TEXT_LENGTH:]}"


@dataclass(frozen=True)
class _Parts:
    """An exception in parts, for one whose constructor takes other arguments than it hands to `Exception`."""

    cls: type[BaseException]
    args: tuple[object, ...]
    attributes: dict[str, object]
    inner: list[_Parcel]
    """The exceptions of an exception group."""

    def joined(self) -> BaseException:
        """The exception, made without its constructor."""
        args = (self.args[0], [each.opened() for each in self.inner]) if self.inner else self.args
        error = self.cls.__new__(self.cls, *args)
        error.args = args
        # What Python's own exceptions keep beside their arguments, such as the code of a SystemExit.
        built_in: Any = next(cls for cls in self.cls.__mro__ if cls.__module__ == "builtins")
        with contextlib.suppress(TypeError):
            built_in.__init__(error, *args)
        vars(error).update(self.attributes)
        return error


@dataclass(frozen=True)
class _Parcel:
    """An exception with what pickle leaves behind."""

    error: BaseException | _Parts
    notes: list[str]
    causes: list[tuple[BaseException, bool]]
    """Up the chain: an exception, and whether it is the `__cause__` of the one before rather than its `__context__`."""

    def opened(self) -> BaseException:
        """The exception with its notes and causes."""
        error = below = self.error.joined() if isinstance(self.error, _Parts) else self.error
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
    """What to raise in a worker process in place of `error`."""
    return PackedError(task, _pickled(error), "".join(_formatted(error)))


def unpack_error(on_its_way: PackedError) -> BaseException:
    """The exception that was raised, with the worker's traceback as a note, or a `NodeError` that tells of it."""
    error = _unpickled(on_its_way.payload) if on_its_way.payload else None
    if error is None:
        return NodeError(on_its_way.task, on_its_way.text)
    # With tblib, which distributed installs, the traceback itself has come along. What was never raised has none.
    if error.__traceback__ is None and TRACEBACK in on_its_way.text:
        add_note(error, f"Traceback in the worker:\n\n{on_its_way.text.rstrip()}")
    return error


def add_note(error: BaseException, note: str) -> None:
    """Add a line to what Python 3.11 and later print below the traceback; 3.10 only keeps it in `__notes__`."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        vars(error)["__notes__"] = [*vars(error).get("__notes__", []), note]


def _pickled(error: BaseException) -> bytes:
    """Pickled, and proven to come back as the same type with the same text; empty otherwise.

    An exception whose constructor takes other arguments than it hands to `Exception` pickles well, and fails or changes
    its text when it is loaded: only loading it shows.
    """
    parcel = _parcel(error)
    payload: bytes = cloudpickle.dumps(parcel) if parcel is not None else b""
    return payload


def _parcel(error: BaseException) -> _Parcel | None:
    notes, causes = list(getattr(error, "__notes__", [])), _causes(error)
    for form in _forms(error):
        parcel = _Parcel(form, notes, causes)
        try:
            payload: bytes = cloudpickle.dumps(parcel)
        except Exception:  # noqa: BLE001, S112 - whatever a user's exception does when it is pickled, it has to come home
            continue
        if _is_twin(_unpickled(payload), error):
            return parcel
    return None


_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())


def _forms(error: BaseException) -> list[BaseException | _Parts]:
    """What to try to pickle, the best first."""
    if not isinstance(error, _GROUP):
        return [error, _Parts(type(error), error.args, vars(error), [])]
    group: Any = error
    inner = [_parcel(each) or _Parcel(_as_text(each), [], []) for each in group.exceptions]
    return [_Parts(type(error), error.args[:1], vars(error), inner)]


def _is_twin(twin: BaseException | None, error: BaseException) -> bool:
    try:
        same_exit = getattr(twin, "code", None) == getattr(error, "code", None)
        return type(twin) is type(error) and str(twin) == str(error) and bool(same_exit)
    except Exception:  # noqa: BLE001 - an exception that cannot even be printed
        return False


def _unpickled(payload: bytes) -> BaseException | None:
    try:
        parcel: _Parcel = cloudpickle.loads(payload)
        return parcel.opened()
    except Exception:  # noqa: BLE001 - a class that does not exist here, or a constructor that refuses
        return None


def _causes(error: BaseException) -> list[tuple[BaseException, bool]]:
    """The chain that Python prints above `error`, nearest first; a link that does not pickle is there as text."""
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
    try:
        faithful = type(cloudpickle.loads(cloudpickle.dumps(error))) is type(error)
    except Exception:  # noqa: BLE001 - as in _pickled
        faithful = False
    return error if faithful else _as_text(error)


def _as_text(error: BaseException) -> NodeError:
    return NodeError(type(error).__name__, str(error))


def _formatted(error: BaseException) -> list[str]:
    return traceback.format_exception(type(error), error, error.__traceback__)
