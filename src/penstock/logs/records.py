"""Log records and prints as messages of plain values, and how the driver handles them."""

from __future__ import annotations

import contextlib
import logging
import pickle
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Message = tuple[Any, ...]
"""`("log", standard attributes, others)`, or the name of a stream and text for it. Plain values, so that any protocol carries it."""

_LEFT_OUT = {"args", "exc_info", "relativeCreated"}
"""Left out: part of the text already, or relative to the start of the process."""

_STANDARD = tuple(sorted(vars(logging.LogRecord("", 0, "", 0, "", (), None)).keys() - _LEFT_OUT))
"""Attributes that every record has; they travel as a list, without their names."""

_FORMATTER, _HANDLER = logging.Formatter(), logging.Handler()


def record_message(record: logging.LogRecord) -> Message:
    """A record as a message, with its text and the text of its traceback formatted here, where the arguments are."""
    given = {**vars(record), "msg": record.getMessage()}
    if record.exc_info and not record.exc_text:
        given["exc_text"] = _FORMATTER.formatException(record.exc_info)
    others = given.keys() - {*_STANDARD, *_LEFT_OUT, "message"}
    return "log", [given.get(name) for name in _STANDARD], {name: _pickled(given[name]) for name in others}


def _pickled(value: Any) -> bytes:
    """The pickled value of an attribute that the user's code added; its `repr` if it cannot be pickled."""
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever a user's object does when it is pickled
        return pickle.dumps(repr(value))


def deliver(messages: Iterable[Message]) -> None:
    """Handle records with the driver's logging and write prints to the driver's streams, flushed when this returns."""
    streams = set()
    for kind, *rest in messages:
        if kind == "log":
            _log(*rest)
        else:
            stream = getattr(sys, kind)
            streams.add(stream)
            # The reader of a pipe may have closed it, which must not end the run.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.write(*rest)
    for stream in streams:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _log(standard: list[Any], others: dict[str, bytes]) -> None:
    record = logging.makeLogRecord(dict(zip(_STANDARD, standard, strict=True)))
    for name, value in others.items():
        # Its class may be missing in this process.
        with contextlib.suppress(Exception):
            setattr(record, name, pickle.loads(value))
    try:
        logging.getLogger(record.name).handle(record)
    except Exception:  # noqa: BLE001 - a user's filter may raise; logging prints such errors
        _HANDLER.handleError(record)


@dataclass(frozen=True)
class Levels:
    """The log levels of a driver.

    Attributes:
        by_name: The level of each logger that has one of its own; the root logger's name is empty.
        disabled: The level given to `logging.disable`.
    """

    by_name: dict[str, int] = field(default_factory=dict)
    disabled: int = 0

    def __post_init__(self) -> None:
        # Equal levels have equal keys: a text, whose hash Python computes once.
        object.__setattr__(self, "_key", repr((sorted(self.by_name.items()), self.disabled)))

    @classmethod
    def here(cls) -> Levels:
        """The log levels of this process."""
        manager = logging.root.manager
        loggers = {
            name: each.level for name, each in list(manager.loggerDict.items()) if hasattr(each, "level")
        }
        given = {name: level for name, level in loggers.items() if level}
        return cls({**given, "": logging.root.level}, manager.disable)

    def is_enabled(self, logger: logging.Logger, level: int) -> bool:
        """Whether the driver handles records of this logger at this level."""
        # Private in `logging`, which empties this cache whenever a level changes. Without it, levels would have to be looked up for
        # each record, and all of tests/runner/test_logs.py fails.
        answers: dict[Any, bool] = logger._cache  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        key = (self._key, level)  # type: ignore[attr-defined]
        if key not in answers:
            answers[key] = level > self.disabled and level >= self._of(logger.name)
        return answers[key]

    def _of(self, name: str) -> int:
        """The level that applies to a logger: the nearest one set in the driver, or here by the user's code."""
        here: dict[str, Any] = logging.root.manager.loggerDict
        while name:
            level: int = self.by_name.get(name, 0) or getattr(here.get(name), "level", 0)
            if level:
                return level
            name = name.rpartition(".")[0]
        return self.by_name.get("", logging.WARNING)
