"""What must not be read in a log, a `repr` or an error: credentials, in URLs or given apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

HIDDEN = "***"

# A user and a password, up to the last @ of the word: secrets hold slashes. A port is not a password.
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^/\s@'\"]*:(?!\d+(?:/|\s|$))[^\s'\"]*@")
# Some protocols name a container or an account before the @; elsewhere a lone word there is a token.
_TOKEN = re.compile(
    r"\b(?!abfss?:|az:|adl:|wasbs?:|sftp:|ssh:|hdfs:|webhdfs:)([a-z][\w+.-]*://)[^/\s@'\"]+@", re.IGNORECASE
)
# Presigned and shared-access URLs carry their signature in the query.
_QUERY = re.compile(r"([a-z][\w+.-]*://[^\s'\"?]*\?)[^\s'\"]+", re.IGNORECASE)


def without_url_secrets(text: str) -> str:
    """The text, with users, passwords, tokens and queries of all URLs in it replaced by `***`."""
    if "://" not in text:
        return text
    text = _USER_AND_PASSWORD.sub(f"{HIDDEN}@", text)
    text = _TOKEN.sub(rf"\1{HIDDEN}@", text)
    return _QUERY.sub(rf"\1{HIDDEN}", text)


def hide_in_error(error: BaseException, hide: Callable[[str], str]) -> bool:
    """Apply `hide` to the texts of an error and of all errors behind it, in place.

    Returns:
        Whether nothing is left to hide. An error that makes its text of something else than strings cannot be cleaned;
        it must not be shown.
    """
    is_clean = True
    for each in _chain(error):
        _hide_in_one(each, hide)
        shown = f"{each}\n{each!r}\n{getattr(each, '__notes__', '')}"
        is_clean = is_clean and hide(shown) == shown
    return is_clean


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def _hide_in_one(error: BaseException, hide: Callable[[str], str]) -> None:
    error.args = tuple(_hidden(argument, hide) for argument in error.args)
    if isinstance(error, OSError):
        # An OSError keeps its own copies of these, and makes its text of them.
        for name in ("filename", "filename2", "strerror"):
            value = getattr(error, name)
            if isinstance(value, str):
                setattr(error, name, hide(value))


def _hidden(argument: object, hide: Callable[[str], str]) -> object:
    return hide(argument) if isinstance(argument, str) else argument
