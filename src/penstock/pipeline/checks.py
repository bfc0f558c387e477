"""What nodes have to fulfil together to be a pipeline."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING

from penstock.errors import ConfirmNotUniqueError, InvalidPipelineError, OutputNotUniqueError
from penstock.pipeline.transcoding import SEPARATOR, base_names, used_both_ways

if TYPE_CHECKING:
    from penstock.pipeline.node import Node


def check_names(sources: list[tuple[str, list[Node]]]) -> None:
    """Refuse two nodes of one name.

    Args:
        sources: Where nodes come from, in words, with the nodes.

    Raises:
        InvalidPipelineError: Some names stand there more than once; it says in which sources.
    """
    count = Counter(node.name for _, nodes in sources for node in nodes)
    if len(count) == sum(count.values()):
        return
    places = defaultdict(list)
    for source, nodes in sources:
        for node in nodes:
            if count[node.name] > 1:
                places[node.name].append(source)
    told = [f"{name} ({' and '.join(where)})" for name, where in sorted(places.items())]
    advice = "Give each node a name of its own, or list what you listed twice once"
    raise InvalidPipelineError("node names must be unique, these appear more than once", told, advice)


def check_datasets(nodes: Iterable[Node]) -> None:
    """Refuse datasets that two nodes produce or confirm, or that are used with and without a format.

    Raises:
        InvalidPipelineError: A name is used bare and as `name@format`.
        OutputNotUniqueError: A dataset has two producers.
        ConfirmNotUniqueError: A dataset is confirmed twice.
    """
    nodes = list(nodes)
    spelled = set(chain.from_iterable(chain(node._input_names, node._output_names) for node in nodes))
    both = used_both_ways(spelled)
    if both:
        problem = f"datasets that are used with {SEPARATOR!r} and a format, and without one"
        raise InvalidPipelineError(problem, both, "Give every use a format, or none")
    produced = _claimed_twice(nodes, lambda node: node._output_bases)
    if produced:
        raise OutputNotUniqueError(produced)
    confirmed = _claimed_twice(nodes, lambda node: base_names(node.confirms))
    if confirmed:
        raise ConfirmNotUniqueError(confirmed)


def _claimed_twice(nodes: list[Node], claims: Callable[[Node], tuple[str, ...]]) -> dict[str, list[str]]:
    count = Counter(chain.from_iterable(map(claims, nodes)))
    if len(count) == count.total():
        return {}
    nodes_by_dataset: dict[str, list[str]] = {}
    for node in nodes:
        for name in claims(node):
            if count[name] > 1:
                nodes_by_dataset.setdefault(name, []).append(node.name)
    return dict(sorted(nodes_by_dataset.items()))
