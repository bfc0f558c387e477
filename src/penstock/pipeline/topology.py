"""Which node depends on which, and the order that follows. No function here is recursive: pipelines can be very long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from penstock.errors import CircularDependencyError

if TYPE_CHECKING:
    from penstock.pipeline.node import Node


def parents(nodes: Iterable[Node]) -> dict[str, tuple[str, ...]]:
    """The direct parents of every node, by name: who produces a dataset, in any format, that it takes in any format."""
    nodes = list(nodes)
    producers = {base: node.name for node in nodes for base in node.output_bases}
    return {
        node.name: tuple(dict.fromkeys([producers[base] for base in node.input_bases if base in producers]))
        for node in nodes
    }


def children(parents: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The direct children of every node, by name."""
    found: dict[str, list[str]] = {name: [] for name in parents}
    for name, above in parents.items():
        for parent in above:
            found[parent].append(name)
    return found


def layers(parents: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The nodes in layers: each node is in the first layer after all its parents. Each layer is sorted by name.

    Raises:
        CircularDependencyError: Some nodes wait for each other.
    """
    sorter = TopologicalSorter(parents)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = error.args[1][:-1]
        first = cycle.index(min(cycle))
        raise CircularDependencyError([*cycle[first:], *cycle[: first + 1]]) from None
    found = []
    while sorter.is_active():
        layer = sorted(sorter.get_ready())
        found.append(layer)
        sorter.done(*layer)
    return found


def reachable(start: Iterable[str], neighbours: Mapping[str, Sequence[str]]) -> set[str]:
    """The nodes at the start, and all that can be reached from them."""
    seen = set(start)
    ahead = list(seen)
    while ahead:
        for name in neighbours[ahead.pop()]:
            if name not in seen:
                seen.add(name)
                ahead.append(name)
    return seen
