"""Selects nodes of a pipeline: every function gives the names of the selected nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from penstock.errors import SelectionError
from penstock.pipeline.topology import Links, reachable

if TYPE_CHECKING:
    from penstock.pipeline.node import Node


@dataclass(frozen=True)
class Selector:
    """Finds nodes of one pipeline, by name.

    Attributes:
        nodes: All nodes.
        links: Which node feeds which.
        consumers: The nodes that take each dataset; without its format, those that take it in any format.
        producers: The same for the nodes that give it.
    """

    nodes: list[Node]
    links: Links
    consumers: Mapping[str, list[str]]
    producers: Mapping[str, list[str]]

    def named(self, names: Iterable[str]) -> set[str]:
        """The nodes with these full names.

        Raises:
            SelectionError: The pipeline does not have some of them.
        """
        known = {node.name for node in self.nodes}
        names = set(names)
        missing = sorted(map(str, names - known))
        if missing:
            problem = "the pipeline has no nodes of these names"
            raise SelectionError(problem, missing, _full_names(known, missing))
        return names

    def tagged(self, tags: Iterable[str]) -> set[str]:
        """The nodes that have any of the tags."""
        wanted = set(tags)
        return {node.name for node in self.nodes if not wanted.isdisjoint(node.tags)}

    def in_namespaces(self, namespaces: Iterable[str]) -> set[str]:
        """The nodes in these namespaces, or in namespaces inside them.

        Raises:
            SelectionError: Some of the namespaces have no node.
        """
        nodes_by_namespace = defaultdict(set)
        for node in self.nodes:
            for namespace in node.namespace_prefixes:
                nodes_by_namespace[namespace].add(node.name)
        wanted = set(namespaces)
        missing = sorted(map(str, wanted - nodes_by_namespace.keys()))
        if missing:
            problem = "the pipeline has no nodes in these namespaces"
            raise SelectionError(problem, missing, sorted(nodes_by_namespace))
        return set().union(*(nodes_by_namespace[namespace] for namespace in wanted))

    def consuming(self, datasets: Iterable[str]) -> set[str]:
        """The nodes that take any of the datasets; a name without format means all its formats.

        Raises:
            SelectionError: The pipeline does not have some of them.
        """
        return self._at(datasets, self.consumers)

    def producing(self, datasets: Iterable[str]) -> set[str]:
        """The nodes that give any of the datasets; a name without format means all its formats.

        Raises:
            SelectionError: The pipeline does not have some of them.
        """
        return self._at(datasets, self.producers)

    def downstream(self, names: Iterable[str]) -> set[str]:
        """These nodes, and all that need anything of them."""
        return reachable(names, self.links.children)

    def upstream(self, names: Iterable[str]) -> set[str]:
        """These nodes, and all that they need."""
        return reachable(names, self.links.parents)

    def _at(self, datasets: Iterable[str], ends: Mapping[str, list[str]]) -> set[str]:
        wanted = set(datasets)
        missing = sorted(map(str, wanted - self.consumers.keys() - self.producers.keys()))
        if missing:
            raise SelectionError("the pipeline has no datasets of these names", missing)
        return set().union(*(ends.get(name, ()) for name in wanted))


def all_of(choices: Iterable[set[str]]) -> set[str]:
    """The nodes that are in every choice.

    Raises:
        SelectionError: There are none.
    """
    chosen = reduce(set.intersection, choices)
    if not chosen:
        raise SelectionError("the pipeline has no nodes after applying all filters", [])
    return chosen


def _full_names(known: set[str], missing: list[str]) -> list[str]:
    """The nodes in namespaces that end like the missing names."""
    wanted = set(missing)
    return sorted(name for name in known if not wanted.isdisjoint(_endings(name)))


def _endings(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(1, len(parts))]
