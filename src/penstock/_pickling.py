"""Pickles objects for other processes, and finds out why an object cannot be pickled."""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from types import MethodType
from typing import Any

import cloudpickle

MAX_DEPTH = 3
"""How many levels of attributes are searched for the part that cannot be pickled."""

MIN_SHARED_BYTES = 10_000
"""Buffers from this size on are kept once for all pickles of a `SharedPickles`, and smaller pickles are compressed."""

MIN_PART_BYTES = 1_000
"""Parts from this size on are kept once for all pickles of a `SharedPickles`."""

RAW = -15
"""For zlib: no header and no checksum."""


def pickled(thing: Any) -> bytes:
    """The object, pickled so that another process can unpickle it."""
    data, buffers = pickled_with_buffers(thing)
    return cloudpickle.dumps(thing, protocol=5) if buffers else data


def pickled_with_buffers(thing: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """The object, pickled without its large buffers, and these buffers (PEP 574).

    Plain pickle takes a third of the time of cloudpickle. But it only writes the names of functions and classes, and another
    process cannot find those of `__main__` or of modules that are registered to be pickled by value: these need cloudpickle.
    """
    buffers: list[pickle.PickleBuffer] = []
    with contextlib.suppress(Exception):
        # Lambdas, local classes and others: cloudpickle can pickle them, or raises the error that says why not.
        plain = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
        if _is_portable(plain):
            return plain, buffers
    buffers.clear()
    return cloudpickle.dumps(thing, protocol=5, buffer_callback=buffers.append), buffers


def _is_portable(plain: bytes) -> bool:
    """Whether another process can unpickle what plain pickle has written: it imports all functions and classes in it."""
    return b"__main__" not in plain and not cloudpickle.list_registry_pickle_by_value()


class SharedPickles:
    """Pickles many objects that have much in common: all pickles hold the same `bytes` of a part, and of a large buffer.

    A pickle that holds all these pickles so has each of them once. Small pickles are compressed, by what the first one of the same type has,
    and then a small part by itself would only take time.

    Args:
        parts: The parts, which the objects hold by identity.
    """

    def __init__(self, parts: Iterable[Any]) -> None:
        self._alive = list(parts)
        self._buffers: dict[bytes, bytes] = {}
        self._first_by_type: dict[type, bytes] = {}
        self._parts: dict[int, SharedPickle] = {}
        part_by_id = {id(each): each for each in self._alive}
        self._parts = {key: self.pickled(each) for key, each in part_by_id.items() if not _is_small(each)}

    def pickled(self, thing: Any) -> SharedPickle:
        """The object, for `unpickled`."""
        left_out = _LeftOut(self._parts, self._buffers)
        data = left_out.pickled(thing)
        first = b""
        if len(data) < MIN_SHARED_BYTES:
            first = self._first_by_type.setdefault(type(thing), data)
            compressor = zlib.compressobj(level=1, wbits=RAW, zdict=first)
            data = compressor.compress(data) + compressor.flush()
        return data, first, tuple(left_out.buffers), tuple(left_out.parts)


def _is_small(part: Any) -> bool:
    """Whether plain pickle writes few bytes of it, for instance the name of a function."""
    buffers: list[pickle.PickleBuffer] = []
    with contextlib.suppress(Exception):
        plain = pickle.dumps(part, protocol=5, buffer_callback=buffers.append)
        size = len(plain) + sum(each.raw().nbytes for each in buffers)
        return size < MIN_PART_BYTES and _is_portable(plain)
    return False


SharedPickle = tuple[bytes, bytes, tuple[bytes, ...], tuple[Any, ...]]
"""A pickle, the dictionary that it is compressed with, if it is, the large buffers that it leaves out, and its parts in the same form."""


def unpickled(shared: SharedPickle) -> Any:
    """The object that a `SharedPickles` has pickled. It shares no memory with other objects that were."""
    data, first, buffers, parts = shared
    if first:
        data = zlib.decompressobj(wbits=RAW, zdict=first).decompress(data)
    return _PartsUnpickler(data, buffers, parts).load()


class _LeftOut:
    """What a pickle leaves out, in its order."""

    def __init__(self, parts: Mapping[int, SharedPickle], buffers: dict[bytes, bytes]) -> None:
        self.buffers: list[bytes] = []
        self.parts: list[SharedPickle] = []
        self._positions: dict[int, int] = {}
        self._known_parts, self._known_buffers = parts, buffers

    def pickled(self, thing: Any) -> bytes:
        with contextlib.suppress(Exception):
            # The function takes half the time: it calls no method of Python for each object.
            plain = self._without_parts(thing) if self._known_parts else self._whole(pickle.dumps, thing)
            if _is_portable(plain):
                return plain
        self.buffers, self.parts = [], []
        # With its parts: functions and classes of one module that are written by value share its variables only inside of one pickle.
        return self._whole(cloudpickle.dumps, thing)

    def _whole(self, dumps: Callable[..., bytes], thing: Any) -> bytes:
        return dumps(thing, protocol=5, buffer_callback=self.is_inside)

    def _without_parts(self, thing: Any) -> bytes:
        file = io.BytesIO()
        _PartsPickler(file, self).dump(thing)
        return file.getvalue()

    def position(self, thing: Any) -> int | None:
        """The position of a part among those that are left out; None for all else."""
        part = self._known_parts.get(id(thing))
        if part is None:
            return None
        position = self._positions.setdefault(id(thing), len(self.parts))
        if position == len(self.parts):
            self.parts.append(part)
        return position

    def is_inside(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether the buffer is a part of the pickle: if it is small."""
        raw = buffer.raw()
        if raw.nbytes < MIN_SHARED_BYTES:
            return True
        data = bytes(raw)
        self.buffers.append(self._known_buffers.setdefault(data, data))
        return False


class _PartsPickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, left_out: _LeftOut) -> None:
        super().__init__(file, protocol=5, buffer_callback=left_out.is_inside)
        self._left_out = left_out

    def persistent_id(self, thing: Any) -> int | None:
        return self._left_out.position(thing)


class _PartsUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, buffers: Iterable[bytes], parts: Sequence[SharedPickle]) -> None:
        super().__init__(io.BytesIO(data), buffers=map(bytearray, buffers))
        self._parts = parts
        self._loaded: dict[int, Any] = {}

    def persistent_load(self, position: int) -> Any:
        # A part that stands in several places is one object.
        if position not in self._loaded:
            self._loaded[position] = unpickled(self._parts[position])
        return self._loaded[position]


def why_not_sendable(thing: Any) -> str | None:
    """Why the object cannot be sent to another process, with the attribute that prevents it; None if it can be sent.

    Its large buffers are not copied.
    """
    if getattr(thing, "_SINGLE_PROCESS", False):
        return f"{type(thing).__name__} is marked _SINGLE_PROCESS"
    reason = _why_not_picklable(thing)
    if reason is None:
        return None
    path = _unpicklable_part(thing)
    return f"its {path}: {reason}" if path else reason


def _why_not_picklable(thing: Any) -> str | None:
    try:
        cloudpickle.dump(thing, _DiscardingFile(), protocol=5, buffer_callback=lambda _: None)
    except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything
        return f"{type(error).__name__}: {error}"
    return None


class _DiscardingFile(io.RawIOBase):
    def write(self, data: Any) -> int:
        return len(data)


def _unpicklable_part(thing: Any) -> str:
    """The path of attributes to the innermost part that cannot be pickled; empty if no part is found."""
    path: list[str] = []
    for _ in range(MAX_DEPTH):
        found = next(((name, part) for name, part in _parts(thing) if _why_not_picklable(part)), None)
        if found is None:
            break
        path.append(found[0])
        thing = found[1]
    return " of ".join(reversed(path))


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """The parts of an object, each with its name for an error."""
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
    """The attributes that would be pickled: a class may leave some out."""
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
        # A cell is empty if its variable was never assigned.
        with contextlib.suppress(ValueError):
            yield f"captured variable {name!r}", cell.cell_contents
    for name in code.co_names:
        if name in function.__globals__:
            yield f"global variable {name!r}", function.__globals__[name]
    for value in function.__defaults__ or ():
        yield "default argument", value


def reduce_dataclass(self: Any) -> tuple[type, tuple[Any, ...]]:
    """`__reduce__` for a dataclass, which leaves out field names and default values at the end, so that pickles are small."""
    cls: Any = type(self)
    values = [(getattr(self, name), default) for name, default in _fields(cls)]
    while values and values[-1][0] is values[-1][1]:
        values.pop()
    return cls, tuple([value for value, _ in values])


@functools.cache
def _fields(cls: type) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in fields(cls) if field.init)
