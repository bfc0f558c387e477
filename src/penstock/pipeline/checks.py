"""What nodes have to fulfil together to be a pipeline."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
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
    spelled = set(chain.from_iterable((*node.inputs, *node.outputs) for node in nodes))
    both = used_both_ways(spelled)
    if both:
        problem = f"datasets that are used with {SEPARATOR!r} and a format, and without one"
        raise InvalidPipelineError(problem, both, "Give every use a format, or none")
    produced = _claimed_twice((base, node.name) for node in nodes for base in node._output_bases)
    if produced:
        raise OutputNotUniqueError(produced)
    confirmed = _claimed_twice((base, node.name) for node in nodes for base in base_names(node.confirms))
    if confirmed:
        raise ConfirmNotUniqueError(confirmed)


def _claimed_twice(claims: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    nodes_by_dataset: dict[str, list[str]] = {}
    for dataset, node in claims:
        nodes_by_dataset.setdefault(dataset, []).append(node)
    return {name: nodes for name, nodes in sorted(nodes_by_dataset.items()) if len(nodes) > 1}
