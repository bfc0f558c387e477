"""Takes the result of a function apart, into the outputs of its node."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import chain, tee
from operator import itemgetter
from typing import TYPE_CHECKING

from penstock.errors import NodeDataError

if TYPE_CHECKING:
    from penstock._typing import Data


def outputs_by_dataset(
    result: Data, declared: list[str] | dict[str, str], node: Callable[[], str], *, verb: str = "returned"
) -> dict[str, Data]:
    """The items of a returned list, tuple or `dict`, by dataset.

    Args:
        result: What the function returned, or one item that it yielded.
        declared: The outputs of the node.
        node: Describes the node, for the error.
        verb: What the function did, for the error.

    Raises:
        NodeDataError: The result has another type, other keys or another length than declared.
    """
    if isinstance(declared, dict):
        if not isinstance(result, dict):
            expected = f"a dict with the keys {list(declared)}"
            raise NodeDataError(node(), f"the function {verb} the wrong type", expected, _type_text(result))
        if result.keys() != declared.keys():
            problem, keys = f"the function {verb} a dict with the wrong keys", str(list(declared))
            raise NodeDataError(node(), problem, keys, str(list(result)))
        return {name: result[key] for key, name in declared.items()}
    if not isinstance(result, (list, tuple)):
        expected = f"a list or tuple for {declared}"
        raise NodeDataError(node(), f"the function {verb} the wrong type", expected, _type_text(result))
    if len(result) != len(declared):
        problem, expected = "the wrong number of outputs", f"{len(declared)} for {declared}"
        raise NodeDataError(node(), f"the function {verb} {problem}", expected, str(len(result)))
    return dict(zip(declared, result, strict=True))


def output_streams(
    items: Generator[Data, None, None], declared: list[str] | dict[str, str], node: Callable[[], str]
) -> dict[str, Iterator[Data]]:
    """One lazy stream of chunks for each output.

    The first item is produced and checked here, so that a function that yields the wrong thing fails before anything is
    saved. An item is kept until every stream has read it; if the streams are read in turn, one item is kept.

    Raises:
        NodeDataError: The generator yields nothing, or an item does not match the outputs; for later items, when a stream
            reads them.
    """
    try:
        first = next(items)
    except StopIteration:
        expected = f"items for {declared}"
        raise NodeDataError(node(), "the generator yielded nothing", expected, "no item") from None
    outputs_by_dataset(first, declared, node, verb="yielded")
    checked = (outputs_by_dataset(item, declared, node, verb="yielded") for item in chain([first], items))
    names = list(declared.values()) if isinstance(declared, dict) else declared
    copies = tee(checked, len(names))
    return {name: map(itemgetter(name), copy) for name, copy in zip(names, copies, strict=True)}


def _type_text(value: Data) -> str:
    return f"a {type(value).__name__!r}"
