"""What a function returned, taken apart by the outputs that its node declares."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import chain, tee
from typing import TYPE_CHECKING

from penstock.errors import NodeDataError

if TYPE_CHECKING:
    from penstock._typing import Data


def by_dataset(
    result: Data, declared: list[str] | dict[str, str], node: Callable[[], str], *, verb: str = "returned"
) -> dict[str, Data]:
    """The parts of a returned list, tuple or `dict` by dataset.

    Raises:
        NodeDataError: The result has another type, other keys or another length than declared.
    """
    if isinstance(declared, dict):
        if not isinstance(result, dict):
            expected = f"a dict with the keys {list(declared)}"
            raise NodeDataError(node(), f"the function {verb} no dict", expected, _told_type(result))
        if result.keys() != declared.keys():
            problem = f"the function {verb} a dict with other keys"
            raise NodeDataError(node(), problem, str(list(declared)), str(list(result)))
        return {name: result[key] for key, name in declared.items()}
    if not isinstance(result, (list, tuple)):
        expected = f"a list or tuple for {declared}"
        raise NodeDataError(
            node(), f"the function {verb} neither list nor tuple", expected, _told_type(result)
        )
    if len(result) != len(declared):
        expected = f"{len(declared)} for {declared}"
        raise NodeDataError(
            node(), f"the function {verb} another number of outputs", expected, str(len(result))
        )
    return dict(zip(declared, result, strict=True))


def streams(
    items: Generator[Data, None, None], declared: list[str] | dict[str, str], node: Callable[[], str]
) -> dict[str, Iterator[Data]]:
    """One lazy stream of chunks for each output.

    The first item is produced at once, so that a function that yields the wrong thing fails here. An item is
    kept until every stream has passed it: streams that are read in turn keep one.

    Raises:
        NodeDataError: Nothing is yielded, or an item is not what is declared; of later items, when they are read.
    """
    try:
        first = next(items)
    except StopIteration:
        expected = f"items for {declared}"
        raise NodeDataError(node(), "the generator yielded nothing", expected, "no item") from None
    by_dataset(first, declared, node, verb="yielded")
    parts = _parts(chain([first], items), declared, node)
    names = list(declared.values()) if isinstance(declared, dict) else declared
    return {name: _picked(copy, name) for name, copy in zip(names, tee(parts, len(names)), strict=True)}


def _parts(
    items: Iterator[Data], declared: list[str] | dict[str, str], node: Callable[[], str]
) -> Iterator[dict[str, Data]]:
    for item in items:
        yield by_dataset(item, declared, node, verb="yielded")


def _picked(items: Iterator[dict[str, Data]], name: str) -> Iterator[Data]:
    for item in items:
        yield item[name]


def _told_type(value: Data) -> str:
    return f"a {type(value).__name__!r}"
