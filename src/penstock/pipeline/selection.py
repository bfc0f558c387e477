"""Which nodes of a pipeline are meant: every function gives the names of the chosen nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import TYPE_CHECKING

from penstock.errors import SelectionError
from penstock.pipeline.topology import reachable

if TYPE_CHECKING:
    from penstock.pipeline.pipeline import Pipeline


def named(pipeline: Pipeline, names: Iterable[str]) -> set[str]:
    """The nodes of these full names.

    Raises:
        SelectionError: The pipeline does not have some of them.
    """
    known = {node.name for node in pipeline.nodes}
    names = set(names)
    missing = sorted(map(str, names - known))
    if missing:
        problem = "the pipeline has no nodes of these names"
        raise SelectionError(problem, missing, _full_names(known, missing))
    return names


def tagged(pipeline: Pipeline, tags: Iterable[str]) -> set[str]:
    """The nodes that have any of the tags."""
    wanted = set(tags)
    return {node.name for node in pipeline.nodes if not wanted.isdisjoint(node.tags)}


def in_namespaces(pipeline: Pipeline, namespaces: Iterable[str]) -> set[str]:
    """The nodes in these namespaces, or in namespaces inside them.

    Raises:
        SelectionError: No node is in some of them.
    """
    nodes_by_namespace = defaultdict(set)
    for node in pipeline.nodes:
        for namespace in node.namespace_prefixes:
            nodes_by_namespace[namespace].add(node.name)
    wanted = set(namespaces)
    missing = sorted(map(str, wanted - nodes_by_namespace.keys()))
    if missing:
        raise SelectionError(
            "the pipeline has no nodes in these namespaces", missing, sorted(nodes_by_namespace)
        )
    return set().union(*(nodes_by_namespace[namespace] for namespace in wanted))


def consuming(pipeline: Pipeline, datasets: Iterable[str]) -> set[str]:
    """The nodes that take any of the datasets; a name without format means all its formats.

    Raises:
        SelectionError: The pipeline does not have some of them.
    """
    return _at(pipeline, datasets, pipeline._consumers)


def producing(pipeline: Pipeline, datasets: Iterable[str]) -> set[str]:
    """The nodes that give any of the datasets; a name without format means all its formats.

    Raises:
        SelectionError: The pipeline does not have some of them.
    """
    return _at(pipeline, datasets, pipeline._producers)


def downstream(pipeline: Pipeline, names: Iterable[str]) -> set[str]:
    """These nodes, and all that need anything of them."""
    return reachable(names, pipeline._links.children)


def upstream(pipeline: Pipeline, names: Iterable[str]) -> set[str]:
    """These nodes, and all that they need."""
    return reachable(names, pipeline._links.parents)


def all_of(choices: Iterable[set[str]]) -> set[str]:
    """The nodes that every choice has.

    Raises:
        SelectionError: There are none.
    """
    chosen = reduce(set.intersection, choices)
    if not chosen:
        raise SelectionError("the pipeline has no nodes after applying all filters", [])
    return chosen


def _at(pipeline: Pipeline, datasets: Iterable[str], ends: Mapping[str, list[str]]) -> set[str]:
    wanted = set(datasets)
    missing = sorted(map(str, wanted - pipeline._consumers.keys() - pipeline._producers.keys()))
    if missing:
        raise SelectionError("the pipeline has no datasets of these names", missing)
    return set().union(*(ends.get(name, ()) for name in wanted))


def _full_names(known: set[str], missing: list[str]) -> list[str]:
    """The nodes in namespaces that end like the missing names."""
    wanted = set(missing)
    return sorted(name for name in known if not wanted.isdisjoint(_endings(name)))


def _endings(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(1, len(parts))]
