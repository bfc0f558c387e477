"""Tracebacks as users read them: their own frames, also those of an error that comes from another process."""

from __future__ import annotations

import inspect
import logging
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

import cloudpickle

from penstock.errors import PenstockError
from penstock.io.redaction import linked_errors

PACKAGES = frozenset(
    (
        *("penstock", "kedro", "pluggy", "dask", "distributed", "tornado", "loky"),
        *("asyncio", "concurrent", "contextlib", "contextvars", "multiprocessing", "threading"),
    )
)
"""The frames of these packages stand between `run` and a user's function."""

TASK = "penstock.tasks.base"
"""The module that Dask calls, for each task."""

CALLERS = ("penstock.pipeline.node", "kedro.pipeline.node")
"""The modules that call a user's function, which has no frame of its own if it is not written in Python."""

DYNAMIC_FILE = "<dynamic-code>"
"""What cloudpickle writes in place of the file of a function that it pickles by value; it keeps the number of the first line."""


class Frame(NamedTuple):
    """One entry of a traceback, as it is sent to the driver."""

    file: str
    line: int
    name: str
    first_line: int
    """Of the function."""
    module: str


def frames_of(entry: TracebackType | None) -> list[Frame]:
    """The entries of a traceback, the outermost first."""
    return [_entry(frame, line) for frame, line in traceback.walk_tb(entry)]


def _entry(frame: FrameType, line: int | None) -> Frame:
    code, module = frame.f_code, frame.f_globals.get("__name__", "")
    return Frame(code.co_filename, line or code.co_firstlineno, code.co_name, code.co_firstlineno, module)


def rebuilt(frames: Iterable[Frame]) -> TracebackType | None:
    """A traceback with these entries. A frame cannot be sent: each entry is of a line that only raises, in a file of that name.

    jinja2 (`jinja2/debug.py`) and tblib make tracebacks in this way.
    """
    entry: TracebackType | None = None
    for frame in reversed(list(frames)):
        code = compile("\n" * (frame.line - 1) + "raise error", frame.file, "exec")
        code = code.replace(co_name=frame.name)
        if sys.version_info >= (3, 11):
            code = code.replace(co_qualname=frame.name)
        try:
            exec(code, {"__name__": frame.module, "error": RuntimeError()})  # noqa: S102 - the line above
        except RuntimeError as error:
            made = error.__traceback__.tb_next if error.__traceback__ is not None else None
            if made is not None:
                entry = TracebackType(entry, made.tb_frame, made.tb_lasti, frame.line)
    return entry


# Files of functions that were sent by value


def with_files(tracebacks: list[list[Frame]], functions: Iterable[Any]) -> list[list[Frame]]:
    """The tracebacks, with the files of functions that cloudpickle has sent without them.

    Args:
        tracebacks: From another process.
        functions: The functions that were sent. Those of scripts and notebooks are known.
    """
    if not any(frame.file == DYNAMIC_FILE for frames in tracebacks for frame in frames):
        return tracebacks
    codes = _codes([*functions, *_by_value()])
    files = {(code.co_name, code.co_firstlineno): code.co_filename for code in codes}
    return [[_with_file(frame, files) for frame in frames] for frames in tracebacks]


def _with_file(frame: Frame, files: Mapping[tuple[str, int], str]) -> Frame:
    if frame.file != DYNAMIC_FILE:
        return frame
    return frame._replace(file=files.get((frame.name, frame.first_line), DYNAMIC_FILE))


def _by_value() -> Iterator[Any]:
    """What the modules have that cloudpickle sends by value."""
    for name in ("__main__", *cloudpickle.list_registry_pickle_by_value()):
        if name in sys.modules:
            yield from list(vars(sys.modules[name]).values())


def _codes(things: list[Any]) -> Iterator[CodeType]:
    """The code of functions and methods, and of the functions inside them or that they use and that are sent with them."""
    seen: set[int] = set()
    while things:
        thing = things.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, CodeType):
            yield thing
            things.extend(each for each in thing.co_consts if isinstance(each, CodeType))
        elif isinstance(thing, partial):
            things.append(thing.func)
        elif inspect.ismethod(thing) or isinstance(thing, staticmethod | classmethod):
            things.append(thing.__func__)
        elif inspect.isfunction(thing):
            things.extend(_parts(thing))
        else:
            cls = thing if isinstance(thing, type) else type(thing)
            things.extend(vars(cls).values() if _is_sent_by_value(cls) else ())


def _parts(function: Any) -> Iterator[Any]:
    """The code of a function, and the functions and classes that it uses."""
    yield function.__code__
    captured = inspect.getclosurevars(function) if _is_sent_by_value(function) else None
    for each in (*captured.nonlocals.values(), *captured.globals.values()) if captured is not None else ():
        if inspect.isfunction(each) or isinstance(each, type):
            yield each


def _is_sent_by_value(thing: Any) -> bool:
    name = getattr(thing, "__qualname__", "")
    return getattr(thing, "__module__", "") == "__main__" or "<locals>" in name or "<lambda>" in name


# What users see


def for_the_user(error: BaseException, log: logging.Logger | None = None) -> None:
    """Take the frames between `run` and the user's code out of the error, and out of its causes and contexts.

    They stay if the logger `penstock` is at `DEBUG`, and in an error that arose in them.

    Args:
        error: It is changed.
        log: Gets the notes of the error on Python 3.10, which does not show them.
    """
    if sys.version_info < (3, 11) and log is not None:
        for note in vars(error).get("__notes__", ()):
            log.error("%s", note)
    if not logging.getLogger("penstock").isEnabledFor(logging.DEBUG):
        for each in linked_errors(error):
            each.__traceback__ = _without_frames_between(each)


def _without_frames_between(error: BaseException) -> TracebackType | None:
    entries = list(_entries(error.__traceback__))
    # Up to the task all is a scheduler's, also the frames of a runner of one's own.
    tasks = [number for number, each in enumerate(entries) if _module(each) == TASK]
    entries = entries[tasks[-1] :] if tasks else entries
    first = next((number for number, each in enumerate(entries) if not _is_between(each)), None)
    if first is not None:
        return entries[first]
    is_explained = isinstance(error, PenstockError) or not isinstance(error, Exception)
    if not entries or is_explained or _module(entries[-1]) in CALLERS:
        return None
    return error.__traceback__


def _entries(entry: TracebackType | None) -> Iterator[TracebackType]:
    while entry is not None:
        yield entry
        entry = entry.tb_next


def _is_between(entry: TracebackType) -> bool:
    module = _module(entry)
    # `penstock.testing` has functions that tests use in nodes.
    return module.partition(".")[0] in PACKAGES and not module.startswith("penstock.testing.")


def _module(entry: TracebackType) -> str:
    return str(entry.tb_frame.f_globals.get("__name__", ""))
