"""What is refused before a pipeline is compiled."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING

from penstock.errors import DatasetError, DatasetNotFoundError, InvalidNodeError

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, DatasetLike, NodeLike


def check_confirms(nodes: Iterable[NodeLike], catalog: CatalogLike) -> None:
    """Refuse nodes that confirm what cannot be confirmed, naming all of them."""
    confirmed = [(name, node, catalog.get(name)) for node in nodes for name in node.confirms]
    wrong = [each for each in confirmed if not callable(getattr(each[2], "confirm", None))]
    if wrong:
        told = [f"{name!r} of node {node.name!r} ({_told(dataset)})" for name, node, dataset in wrong]
        raise (DatasetError if any(dataset is not None for _, _, dataset in wrong) else DatasetNotFoundError)(
            f"Nodes confirm what cannot be confirmed: {', '.join(told)}. Give a dataset with a method `confirm`, or leave "
            "`confirms` out"
        )


def _told(dataset: DatasetLike | None) -> str:
    if dataset is None:
        return "the catalog does not have it"
    return f"a {type(dataset).__name__} has no method `confirm`"


def refuse_generators(nodes: Iterable[NodeLike]) -> None:
    """Refuse generator functions, for a run with `is_async`, naming all of them."""
    names = sorted(node.name for node in nodes if inspect.isgeneratorfunction(node.func))
    if names:
        raise InvalidNodeError(
            ", ".join(names),
            "a generator function, whose outputs are saved chunk by chunk, cannot run with is_async",
            (),
            "Run without is_async",
        )
