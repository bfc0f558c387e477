"""Which node depends on which, and the order that follows. No function here is recursive: pipelines can be very long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import CircularDependencyError

if TYPE_CHECKING:
    from penstock.pipeline.node import Node


@dataclass(frozen=True)
class Links:
    """The direct parents and children of every node, by name, each one once."""

    parents: Mapping[str, tuple[str, ...]]
    children: Mapping[str, list[str]]


def link(nodes: Iterable[Node]) -> Links:
    """The links between nodes: the producer of a dataset, in any format, is a parent of all nodes that take it in any format."""
    nodes = list(nodes)
    producers = {base: node.name for node in nodes for base in node.output_bases}
    parents: dict[str, tuple[str, ...]] = {}
    children: dict[str, list[str]] = {node.name: [] for node in nodes}
    for node in nodes:
        found = tuple(dict.fromkeys([producers[base] for base in node.input_bases if base in producers]))
        parents[node.name] = found
        for parent in found:
            children[parent].append(node.name)
    return Links(parents, children)


def layers(links: Links) -> list[list[str]]:
    """The nodes in layers: each node is in the first layer after all its parents. Each layer is sorted by name.

    Raises:
        CircularDependencyError: Some nodes wait for each other.
    """
    waiting = {name: len(parents) for name, parents in links.parents.items()}
    found = []
    layer = sorted(name for name, count in waiting.items() if count == 0)
    while layer:
        found.append(layer)
        ready = []
        for name in layer:
            del waiting[name]
            for child in links.children[name]:
                waiting[child] -= 1
                if waiting[child] == 0:
                    ready.append(child)
        layer = sorted(ready)
    if waiting:
        raise CircularDependencyError(_cycle(links, waiting))
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


def _cycle(links: Links, waiting: Mapping[str, int]) -> list[str]:
    """One cycle: each node produces an input of the next; the first node is repeated at the end."""
    place: dict[str, int] = {}
    path: list[str] = []
    # Each waiting node has a waiting parent, so going from parent to parent comes back to a node of the path.
    name = min(waiting)
    while name not in place:
        place[name] = len(path)
        path.append(name)
        name = next(parent for parent in links.parents[name] if parent in waiting)
    cycle = path[place[name] :][::-1]
    first = cycle.index(min(cycle))
    return [*cycle[first:], *cycle[: first + 1]]
