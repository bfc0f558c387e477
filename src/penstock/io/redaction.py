"""What must not be read in a log, a `repr` or an error: credentials, in URLs or given apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"

# A user and a password, up to the last @ of the word: secrets hold slashes. A port is not a password.
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^/\s@'\"]*:(?!\d+(?:/|\s|$))[^\s'\"]*@")
# Some protocols name a container or an account before the @; elsewhere a lone word there is a token.
_TOKEN = re.compile(
    r"\b(?!abfss?:|az:|adl:|wasbs?:|sftp:|ssh:|hdfs:|webhdfs:)([a-z][\w+.-]*://)[^/\s@'\"]+@", re.IGNORECASE
)
# Presigned and shared-access URLs carry their signature in the query.
_QUERY = re.compile(r"([a-z][\w+.-]*://[^\s'\"?]*\?)[^\s'\"]+", re.IGNORECASE)

_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|pwd|token|credential|account_key|api_?key|access_?key|private_?key|signature|^sas|connection_string|"
    r"^key$|^auth|storage_options|headers",
    re.IGNORECASE,
)
# Shorter texts are no secrets, and hiding them would make every message unreadable.
_SHORTEST_SECRET = 3


def without_url_secrets(text: str) -> str:
    """The text, with users, passwords, tokens and queries of all URLs in it replaced by `***`."""
    if "://" not in text:
        return text
    text = _USER_AND_PASSWORD.sub(f"{HIDDEN}@", text)
    text = _TOKEN.sub(rf"\1{HIDDEN}@", text)
    return _QUERY.sub(rf"\1{HIDDEN}", text)


def secrets_of(url: str, *options: object) -> list[str]:
    """The texts that must not be shown, the longest first: users and passwords in the URL and all texts among the options."""
    found = {text for option in options for text in _texts(option)}
    for match in _USER_AND_PASSWORD.finditer(url):
        pair = match.group().removesuffix("@")
        found |= {pair, *pair.split(":", 1)}
    for text in tuple(found):
        # As they stand in a URL, out of a URL, and in a repr.
        found |= {quote(text, safe=""), quote_plus(text), unquote(text), repr(text)[1:-1]}
    return sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)


def _texts(option: object) -> Iterator[str]:
    if isinstance(option, str):
        yield option
    elif isinstance(option, bytes):
        yield option.decode(errors="ignore")
    elif isinstance(option, Mapping):
        for value in option.values():
            yield from _texts(value)
    elif isinstance(option, Iterable):
        for value in option:
            yield from _texts(value)


def secret_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options, at any depth, whose names tell that they are secret."""
    found = {
        name: value if _SECRET_NAME.search(str(name)) else _secrets_in(value)
        for name, value in options.items()
    }
    return {name: value for name, value in found.items() if value}


def _secrets_in(value: object) -> object:
    if isinstance(value, Mapping):
        return secret_options(value)
    if isinstance(value, list | tuple):
        return [secret for each in value if (secret := _secrets_in(each))]
    return None


def without_secret_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, those replaced by `***`, at any depth, whose names tell that they are secret."""
    return {name: _shown_option(name, value) for name, value in options.items()}


def _shown_option(name: str, value: object) -> object:
    return HIDDEN if _SECRET_NAME.search(str(name)) else _without_secrets(value)


def _without_secrets(value: object) -> object:
    if isinstance(value, Mapping):
        return without_secret_options(value)
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    if isinstance(value, tuple):
        return tuple(map(_without_secrets, value))
    return value


def hide_in_error(error: BaseException, hide: Callable[[str], str]) -> bool:
    """Apply `hide` to the texts of an error and of all errors behind it, in place.

    Returns:
        Whether nothing is left to hide. An error that makes its text of something else than strings cannot be cleaned;
        it must not be shown.
    """
    is_clean = True
    for each in _chain(error):
        _hide_in_one(each, hide)
        # Bytes are a file's content, and may be gigabytes.
        arguments = [argument for argument in each.args if not isinstance(argument, bytes)]
        shown = f"{each}\n{arguments}\n{getattr(each, '__notes__', '')}"
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
    hidden = tuple(hide(argument) if isinstance(argument, str) else argument for argument in error.args)
    if hidden != error.args:
        error.args = hidden
    if isinstance(error, OSError):
        # An OSError keeps its own copies of these, and makes its text of them.
        for name in ("filename", "filename2", "strerror"):
            value = getattr(error, name)
            if isinstance(value, str):
                setattr(error, name, hide(value))
