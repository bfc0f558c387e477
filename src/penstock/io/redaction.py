"""Hides credentials, in URLs or in options, from logs, `repr` and errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"

# A user and a password, up to the last @ of the word, since passwords can contain slashes. A port is not a password.
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^/\s@'\"]*:(?!\d+(?:/|\s|$))[^\s'\"]*@")
# With some protocols the word before the @ is a container, an account or a user; with the others it is a token.
_TOKEN = re.compile(
    r"\b(?!abfss?:|az:|adl:|wasbs?:|sftp:|ssh:|hdfs:|webhdfs:)([a-z][\w+.-]*://)[^/\s@'\"]+@", re.IGNORECASE
)
# Presigned and shared-access URLs have their signature in the query.
_QUERY = re.compile(r"([a-z][\w+.-]*://[^\s'\"?]*\?)[^\s'\"]+", re.IGNORECASE)

_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|pwd|token|credential|account_key|api_?key|access_?key|private_?key|signature|^sas|connection_string|"
    r"^key$|^auth|storage_options|headers",
    re.IGNORECASE,
)
# Shorter texts are not secrets, and hiding them would make messages unreadable.
_SHORTEST_SECRET = 3


def without_url_secrets(text: str) -> str:
    """The text with `***` for the users, passwords, tokens and queries of all URLs in it."""
    if "://" not in text:
        return text
    text = _USER_AND_PASSWORD.sub(f"{HIDDEN}@", text)
    text = _TOKEN.sub(rf"\1{HIDDEN}@", text)
    return _QUERY.sub(rf"\1{HIDDEN}", text)


def secret_texts(url: str, *options: object) -> list[str]:
    """The texts to hide, the longest first: the user and password of the URL, and all texts in the options."""
    found = {text for option in options for text in _all_texts(option)}
    for match in _USER_AND_PASSWORD.finditer(url):
        pair = match.group().removesuffix("@")
        found |= {pair, *pair.split(":", 1)}
    for text in tuple(found):
        # Quoted as in a URL, unquoted, and escaped as in a repr.
        found |= {quote(text, safe=""), quote_plus(text), unquote(text), repr(text)[1:-1]}
    return sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)


def _all_texts(option: object) -> Iterator[str]:
    if isinstance(option, str):
        yield option
    elif isinstance(option, bytes):
        yield option.decode(errors="ignore")
    elif isinstance(option, Iterable):
        for value in option.values() if isinstance(option, Mapping) else option:
            yield from _all_texts(value)


def secret_values(options: Mapping[str, Any]) -> list[Any]:
    """The values whose names mark them as secret, at any depth."""
    found: list[Any] = []
    _without_secrets(options, found)
    return found


def without_secret_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with `***` for those whose names mark them as secret, at any depth."""
    return dict(_without_secrets(options, []))


def _without_secrets(value: Any, found: list[Any]) -> Any:
    """The value with `***` for its secrets, which are added to `found`."""
    if isinstance(value, Mapping):
        secrets = {name: each for name, each in value.items() if _SECRET_NAME.search(str(name))}
        found += secrets.values()
        return {
            name: HIDDEN if name in secrets else _without_secrets(each, found) for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        changed = [_without_secrets(each, found) for each in value]
        return changed if isinstance(value, list) else tuple(changed)
    return value


def hide_in_error(error: BaseException, hide: Callable[[str], str]) -> bool:
    """Apply `hide` to the texts of an error, and of its causes and contexts, in place.

    Args:
        error: The error to change.
        hide: Returns a text without its secrets.

    Returns:
        Whether no secret is left. An error whose text is not made of strings cannot be cleaned; do not show it.
    """
    is_clean = True
    for each in linked_errors(error):
        _hide_in_one(each, hide)
        # Bytes are the content of a file, and can be gigabytes.
        arguments = [argument for argument in each.args if not isinstance(argument, bytes)]
        shown = f"{each}\n{arguments}\n{getattr(each, '__notes__', '')}"
        is_clean = is_clean and hide(shown) == shown
    return is_clean


def linked_errors(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes and contexts, and the errors in groups, each once."""
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
        # An OSError keeps copies of these attributes, and makes its text from them.
        for name in ("filename", "filename2", "strerror"):
            value = getattr(error, name)
            if isinstance(value, str):
                setattr(error, name, hide(value))


def argument_text(value: Any) -> str:
    """A plain value as it is, for a `repr`; only the type of everything else, which may hold a credential."""
    is_plain_value = isinstance(value, str | int | float | None)
    return without_url_secrets(repr(value)) if is_plain_value else f"<{type(value).__name__}>"
