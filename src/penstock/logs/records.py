"""What nodes log and print, in a form that travels, and what the driver does with it."""

from __future__ import annotations

import contextlib
import logging
import pickle
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Message = tuple[Any, ...]
"""`("log", standard attributes, others)`, or the name of a stream and text for it; plain values only, so that any wire carries it."""

_LEFT_OUT = {"args", "exc_info", "relativeCreated"}
"""What stays behind: it is in the text, or counts from the start of the process."""

_STANDARD = tuple(sorted(vars(logging.LogRecord("", 0, "", 0, "", (), None)).keys() - _LEFT_OUT))
"""What every record has, whatever the application adds to its own: it travels without names."""

_FORMATTER, _HANDLER = logging.Formatter(), logging.Handler()


def packed(record: logging.LogRecord) -> Message:
    """A record as a message: its text is made here, where its arguments are, that of its traceback as well."""
    given = {**vars(record), "msg": record.getMessage()}
    if record.exc_info and not record.exc_text:
        given["exc_text"] = _FORMATTER.formatException(record.exc_info)
    others = given.keys() - {*_STANDARD, *_LEFT_OUT, "message"}
    return "log", [given.get(name) for name in _STANDARD], {name: _pickled(given[name]) for name in others}


def _pickled(value: Any) -> bytes:
    """The value of an attribute that the user's code has added; as text if it cannot travel."""
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever a user's object does when it is pickled
        return pickle.dumps(repr(value))


def deliver(messages: Iterable[Message]) -> None:
    """Have the driver's logging handle records, and write what was printed, which is seen when this returns."""
    streams = set()
    for kind, *rest in messages:
        if kind == "log":
            _log(*rest)
        else:
            stream = getattr(sys, kind)
            streams.add(stream)
            # Who reads our output may have gone: no reason to end the run.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.write(*rest)
    for stream in streams:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _log(standard: list[Any], others: dict[str, bytes]) -> None:
    record = logging.makeLogRecord(dict(zip(_STANDARD, standard, strict=True)))
    for name, value in others.items():
        # A class that this process does not have.
        with contextlib.suppress(Exception):
            setattr(record, name, pickle.loads(value))
    try:
        logging.getLogger(record.name).handle(record)
    except Exception:  # noqa: BLE001 - of a filter of the user's: told, as logging tells what handlers raise
        _HANDLER.handleError(record)


@dataclass(frozen=True)
class Levels:
    """From which level on the driver wants to hear of loggers.

    Attributes:
        by_name: The level of each logger that has one of its own; that of the root has no name.
        disabled: What `logging.disable` was told.
    """

    by_name: dict[str, int] = field(default_factory=dict)
    disabled: int = 0

    def __post_init__(self) -> None:
        # Levels that are equal have one key: text, whose hash is computed once.
        object.__setattr__(self, "_key", repr((sorted(self.by_name.items()), self.disabled)))

    @classmethod
    def here(cls) -> Levels:
        """Those of this process."""
        manager = logging.root.manager
        loggers = {
            name: each.level for name, each in list(manager.loggerDict.items()) if hasattr(each, "level")
        }
        given = {name: level for name, level in loggers.items() if level}
        return cls({**given, "": logging.root.level}, manager.disable)

    def let_through(self, logger: logging.Logger, level: int) -> bool:
        """Whether the driver wants to hear of what the logger says at this level."""
        # Where the logger itself remembers such answers, which it forgets when somebody sets a level.
        answers: dict[Any, bool] = logger._cache  # type: ignore[attr-defined]  # no part of its types
        key = (self._key, level)  # type: ignore[attr-defined]
        if key not in answers:
            answers[key] = level > self.disabled and level >= self._of(logger.name)
        return answers[key]

    def _of(self, name: str) -> int:
        """The level for a logger: the nearest one that was set in the driver, or here by the user's code."""
        here: dict[str, Any] = logging.root.manager.loggerDict
        while name:
            level: int = self.by_name.get(name, 0) or getattr(here.get(name), "level", 0)
            if level:
                return level
            name = name.rpartition(".")[0]
        return self.by_name.get("", logging.WARNING)
