"""Checks of nodes that are to form a pipeline: unique names, one producer for each dataset."""

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
    """Refuse two nodes with one name.

    Args:
        sources: For each source of nodes its description and its nodes.

    Raises:
        InvalidPipelineError: Some names appear more than once; the error names the sources.
    """
    count = Counter(node.name for _, nodes in sources for node in nodes)
    if len(count) == sum(count.values()):
        return
    sources_by_name = defaultdict(list)
    for source, nodes in sources:
        for node in nodes:
            if count[node.name] > 1:
                sources_by_name[node.name].append(source)
    repeated = [f"{name} ({' and '.join(found)})" for name, found in sorted(sources_by_name.items())]
    advice = "Rename the nodes, or list each node once"
    raise InvalidPipelineError("node names must be unique, these appear more than once", repeated, advice)


def check_datasets(nodes: Iterable[Node]) -> None:
    """Refuse datasets that two nodes produce or confirm, or that are used both with a format and without one.

    Raises:
        InvalidPipelineError: A dataset is used both as `name` and as `name@format`.
        OutputNotUniqueError: A dataset has two producers.
        ConfirmNotUniqueError: A dataset is confirmed twice.
    """
    nodes = list(nodes)
    both = used_both_ways(set(chain.from_iterable(chain(node.inputs, node.outputs) for node in nodes)))
    if both:
        problem = f"datasets are used both with {SEPARATOR!r} and a format and without one"
        raise InvalidPipelineError(problem, both, "Add a format to every use, or to none")
    produced = _listed_twice(nodes, lambda node: node.output_bases)
    if produced:
        raise OutputNotUniqueError(produced)
    confirmed = _listed_twice(nodes, lambda node: base_names(node.confirms))
    if confirmed:
        raise ConfirmNotUniqueError(confirmed)


def _listed_twice(nodes: list[Node], datasets_of: Callable[[Node], tuple[str, ...]]) -> dict[str, list[str]]:
    """The datasets that several nodes list, or one node twice, with the names of the nodes."""
    count = Counter(chain.from_iterable(map(datasets_of, nodes)))
    if len(count) == count.total():
        return {}
    nodes_by_dataset: dict[str, list[str]] = {}
    for node in nodes:
        for name in datasets_of(node):
            if count[name] > 1:
                nodes_by_dataset.setdefault(name, []).append(node.name)
    return dict(sorted(nodes_by_dataset.items()))
