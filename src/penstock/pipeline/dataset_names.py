"""The forms in which a node's datasets are written: `None`, a name, a list of names, a mapping to names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from penstock.errors import InvalidNodeError
from penstock.pipeline.transcoding import SEPARATOR, ambiguous, base_names

Names: TypeAlias = "str | list[str] | dict[str, str] | None"

_HOW = "Write node(function, inputs, outputs), each side None, a name, a list of names or a dict of names"


def flat(names: Names) -> tuple[str, ...]:
    """The datasets in the order in which they are written."""
    if isinstance(names, str):
        return (names,)
    if isinstance(names, dict):
        return tuple(names.values())
    return tuple(names or ())


def mapped(names: Names, rename: Callable[[str], str]) -> Names:
    """The renamed datasets in the same form; the keys of a mapping stay."""
    if isinstance(names, str):
        return rename(names)
    if isinstance(names, dict):
        return {key: rename(name) for key, name in names.items()}
    return None if names is None else [rename(name) for name in names]


def sort_key(names: Names) -> tuple[Any, ...]:
    """A key that is equal for equal forms: the order of a list counts, that of a mapping does not.

    Keys of all forms can be compared with each other, so that nodes of one name have an order.
    """
    if isinstance(names, str):
        return 1, names
    if isinstance(names, dict):
        return 3, sorted((str(key), name) for key, name in names.items())
    return (0,) if names is None else (2, names)


def copied(side: str, names: Any, node: Callable[[], str]) -> Names:
    """The names, safe from what the caller does to the list or mapping afterwards.

    Equal names are one object, which is compared faster, and travels once in a graph.

    Raises:
        InvalidNodeError: The names are written in no form that a node takes.
    """
    if names is None or isinstance(names, str):
        return mapped(names, interned)
    if not isinstance(names, (list, dict)):
        raise InvalidNodeError(
            node(), f"the {side} are not a form that a node takes but a", [type(names).__name__], _HOW
        )
    written: Iterable[Any] = flat(names)
    wrong = [repr(name) for name in written if not isinstance(name, str)]
    if wrong:
        raise InvalidNodeError(node(), f"some {side} are not strings", wrong, _HOW)
    return mapped(names, interned)


def interned(name: str) -> str:
    """The one object that stands for all equal names; a string of a class of its own stays what it is."""
    return sys.intern(name) if type(name) is str else name


def check_datasets(inputs: tuple[str, ...], outputs: tuple[str, ...], node: Callable[[], str]) -> None:
    """Refuse datasets that cannot be those of one node.

    Raises:
        InvalidNodeError: There are none, one is produced twice, fed back into the node, or spelled with two formats.
    """
    if not any(inputs) and not any(outputs):
        raise InvalidNodeError(node(), "it has neither inputs nor outputs", (), _HOW)
    if len(set(outputs)) < len(outputs):
        twice = sorted({name for name in outputs if outputs.count(name) > 1})
        raise InvalidNodeError(node(), "it produces the same output twice", twice, "Name each output once")
    odd = ambiguous((*inputs, *outputs))
    if odd:
        raise InvalidNodeError(node(), f"more than one {SEPARATOR!r} in", odd, "Write name@format")
    both = set(base_names(inputs)).intersection(base_names(outputs))
    if both:
        advice = "Give the output a name of its own: a format does not make it another dataset"
        raise InvalidNodeError(node(), "these are its inputs and its outputs", sorted(both), advice)
