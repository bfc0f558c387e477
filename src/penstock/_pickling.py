"""How a thing is sent to another process, whether it can be, and what in it stands in the way."""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
from collections.abc import Iterator
from dataclasses import fields
from types import MethodType
from typing import Any

import cloudpickle

DEPTH = 3
"""How deep the attributes of attributes are looked into for the culprit."""


def pickled(thing: Any) -> bytes:
    """The thing as another process can load it."""
    data, buffers = pickled_with_buffers(thing)
    return cloudpickle.dumps(thing, protocol=5) if buffers else data


def pickled_with_buffers(thing: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """The thing as another process can load it, and its large buffers, which are left out of the pickle (PEP 574).

    Plain pickle does it where it can be trusted, in a third of the time. What lives in `__main__`, or in a module that is
    registered to travel by value, it would only name, and another process would not find it: there it is cloudpickle.
    """
    buffers: list[pickle.PickleBuffer] = []
    with contextlib.suppress(Exception):
        # Lambdas, local classes and much else: cloudpickle can send them, or says why nobody can.
        plain = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
        if b"__main__" not in plain and not cloudpickle.list_registry_pickle_by_value():
            return plain, buffers
    buffers.clear()
    return cloudpickle.dumps(thing, protocol=5, buffer_callback=buffers.append), buffers


def why_not_sendable(thing: Any) -> str | None:
    """Why the thing cannot go to another process, with the attribute that is to blame; None when it can.

    Large buffers that it holds are not copied for the answer.
    """
    if getattr(thing, "_SINGLE_PROCESS", False):
        return f"{type(thing).__name__} is marked _SINGLE_PROCESS"
    reason = _why_not_picklable(thing)
    if reason is None:
        return None
    path = _culprit(thing)
    return f"its {path}: {reason}" if path else reason


def _why_not_picklable(thing: Any) -> str | None:
    try:
        cloudpickle.dump(thing, _Nowhere(), protocol=5, buffer_callback=lambda _: None)
    except Exception as error:  # noqa: BLE001 - a user's __reduce__ raises what it likes
        return f"{type(error).__name__}: {error}"
    return None


class _Nowhere(io.RawIOBase):
    def write(self, data: Any) -> int:
        return len(data)


def _culprit(thing: Any) -> str:
    """The path of attributes to the innermost part that cannot be pickled; empty if no part can be told."""
    path: list[str] = []
    for _ in range(DEPTH):
        found = next(((name, part) for name, part in _parts(thing) if _why_not_picklable(part)), None)
        if found is None:
            break
        path.append(found[0])
        thing = found[1]
    return " of ".join(reversed(path))


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a thing is made of, each with what to call it in an error."""
    if isinstance(thing, MethodType):
        yield "bound object", thing.__self__
    code = getattr(thing, "__code__", None)
    if code is not None:
        yield from _captured(thing, code)
        return
    if isinstance(thing, functools.partial):
        yield "partial function", thing.func
        for value in (*thing.args, *thing.keywords.values()):
            yield "partial argument", value
    for name, part in _state(thing).items():
        yield f"attribute {name!r}", part
    for cls in type(thing).__mro__:
        for name in _slots(cls):
            if hasattr(thing, name):
                yield f"attribute {name!r}", getattr(thing, name)


def _state(thing: Any) -> dict[str, Any]:
    """The attributes that would travel: a class may leave some behind."""
    attributes: dict[str, Any] = getattr(thing, "__dict__", {})
    if hasattr(type(thing), "__getstate__"):
        with contextlib.suppress(Exception):
            state = thing.__getstate__()
            return state if isinstance(state, dict) else attributes
    return attributes


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _captured(function: Any, code: Any) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        # Empty, if it stands for a name that was never bound.
        with contextlib.suppress(ValueError):
            yield f"captured variable {name!r}", cell.cell_contents
    for name in code.co_names:
        if name in function.__globals__:
            yield f"global variable {name!r}", function.__globals__[name]
    for value in function.__defaults__ or ():
        yield "default argument", value


def reduce_dataclass(self: Any) -> tuple[type, tuple[Any, ...]]:
    """For `__reduce__` of a dataclass: without the names of its fields, and without defaults at the end."""
    cls: Any = type(self)
    values = [(getattr(self, name), default) for name, default in _fields(cls)]
    while values and values[-1][0] is values[-1][1]:
        values.pop()
    return cls, tuple([value for value, _ in values])


@functools.cache
def _fields(cls: type) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in fields(cls) if field.init)
