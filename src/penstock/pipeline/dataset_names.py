"""The four forms in which a node's datasets are written (`None`, a name, a list, a mapping), and checks of names."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from penstock.errors import InvalidNodeError
from penstock.pipeline.transcoding import SEPARATOR, ambiguous, base_names

Names: TypeAlias = "str | list[str] | dict[str, str] | None"

ALL_PARAMETERS = "parameters"
"""The dataset with all parameters."""

PARAMETER_PREFIX = "params:"
"""`params:rate` is the dataset with one parameter."""

_WORD = re.compile(r"[\w.-]+")

_HOW = "Write node(function, inputs, outputs), each side None, a name, a list of names or a dict of names"

# The first dataset with a misleading dot: one warning for each process is enough.
_warned_of: list[str] = []


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
    """A key that is equal for equal forms: a list depends on its order, a mapping does not.

    The keys of all forms can be compared with each other, so that nodes with the same name have an order.
    """
    if isinstance(names, str):
        return 1, names
    if isinstance(names, dict):
        return 3, sorted((str(key), name) for key, name in names.items())
    return (0,) if names is None else (2, names)


def checked_form(field: str, names: Any, node: Callable[[], str]) -> Names:
    """A copy of the names, which later changes of the caller's list or mapping do not reach.

    Equal names become one object, which is faster to compare, and is pickled once for a graph.

    Args:
        field: The argument that holds the names, for the error.
        names: What the user passed.
        node: Describes the node, for the error.

    Raises:
        InvalidNodeError: The names have none of the four forms.
    """
    if not isinstance(names, str | list | dict | None):
        problem = f"{field} must be None, a name, a list or a dict, but the type is"
        raise InvalidNodeError(node(), problem, [type(names).__name__], _HOW)
    written: Iterable[Any] = flat(names)
    wrong = [repr(name) for name in written if not isinstance(name, str)]
    if wrong:
        raise InvalidNodeError(node(), f"{field} must be strings, which these are not", wrong, _HOW)
    return mapped(names, interned)


def interned(name: str) -> str:
    """The one object that represents all equal names; an instance of a subclass of `str` stays as it is."""
    return sys.intern(name) if type(name) is str else name


def checked_words(field: str, words: str | Iterable[Any] | None, node: Callable[[], str]) -> frozenset[str]:
    """The tags, or the name, as a set.

    Args:
        field: "tag" or "name", for the error.
        words: One word or several.
        node: Describes the node, for the error.

    Raises:
        InvalidNodeError: Some are not strings, or have other characters than letters, digits, `_`, `-` and `.`.
    """
    if not isinstance(words or (), Iterable):
        problem = f"{field} must be a text or a list of texts, but the type is"
        raise InvalidNodeError(node(), problem, [type(words).__name__], f"Write {field}s=['a', 'b']")
    found = frozenset([words] if isinstance(words, str) else words or ())
    wrong = [word for word in found if not isinstance(word, str) or not _WORD.fullmatch(word)]
    if wrong:
        advice = "Use only letters, digits, '_', '-' and '.'"
        raise InvalidNodeError(node(), f"not a valid {field}", sorted(map(str, wrong)), advice)
    return found


def check_namespace(namespace: object, node: Callable[[], str]) -> None:
    """Refuse a namespace that is not a text.

    Raises:
        InvalidNodeError: It is of another type.
    """
    if namespace is not None and not isinstance(namespace, str):
        problem = "namespace must be a text, but the type is"
        raise InvalidNodeError(node(), problem, [type(namespace).__name__], "Write namespace='a' or 'a.b'")


def check_datasets(inputs: tuple[str, ...], outputs: tuple[str, ...], node: Callable[[], str]) -> None:
    """Refuse datasets that do not make a node.

    Raises:
        InvalidNodeError: There are none, an output appears twice, an output is an input, or a name has two formats.
    """
    if not any(inputs) and not any(outputs):
        raise InvalidNodeError(node(), "it has neither inputs nor outputs", (), _HOW)
    if len(set(outputs)) < len(outputs):
        twice = sorted({name for name in outputs if outputs.count(name) > 1})
        raise InvalidNodeError(node(), "outputs appear more than once", twice, "Name each output once")
    odd = ambiguous((*inputs, *outputs))
    if odd:
        raise InvalidNodeError(node(), f"names have more than one {SEPARATOR!r}", odd, "Write name@format")
    both = set(base_names(inputs)).intersection(base_names(outputs))
    if both:
        advice = "Rename the output: another format of an input is still the same dataset"
        raise InvalidNodeError(node(), "datasets are both inputs and outputs", sorted(both), advice)


def warn_of_misleading_dot(datasets: Iterable[str], namespace: str | None) -> None:
    """Warn, once for each process, of a dataset that looks as if it belonged to another namespace than its node."""
    if _warned_of:
        return
    top = namespace.split(".")[0] if namespace else None
    for name in datasets:
        if "." in name and not name.startswith(PARAMETER_PREFIX) and name.split(".")[0] != top:
            _warned_of.append(name)
            text = f"the dataset {name!r} has a '.', which marks a namespace, but its node is not in that namespace"
            warnings.warn(f"{text}. Rename the dataset (this warning comes once)", UserWarning, stacklevel=4)
            return
