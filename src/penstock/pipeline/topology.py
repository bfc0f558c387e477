"""Which node feeds which, and the order that follows. Everything here walks with a list, never by recursion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import CircularDependencyError

if TYPE_CHECKING:
    from penstock.pipeline.node import Node


@dataclass(frozen=True)
class Links:
    """The direct parents and children of every node, by name; nobody is listed twice."""

    parents: Mapping[str, tuple[str, ...]]
    children: Mapping[str, list[str]]


def link(nodes: Iterable[Node]) -> Links:
    """The links between nodes; whoever produces a dataset in any format feeds all that take it in any format."""
    nodes = list(nodes)
    producers = {base: node.name for node in nodes for base in node._output_bases}
    parents: dict[str, tuple[str, ...]] = {}
    children: dict[str, list[str]] = {node.name: [] for node in nodes}
    for node in nodes:
        feeding = tuple(dict.fromkeys([producers[base] for base in node._input_bases if base in producers]))
        parents[node.name] = feeding
        for parent in feeding:
            children[parent].append(node.name)
    return Links(parents, children)


def layers(links: Links) -> list[list[str]]:
    """The nodes in layers: each one in the first layer that comes after all its parents, sorted by name.

    Raises:
        CircularDependencyError: Some nodes wait for each other.
    """
    waiting = {name: len(parents) for name, parents in links.parents.items()}
    found = []
    layer = sorted(name for name, count in waiting.items() if count == 0)
    while layer:
        found.append(layer)
        freed = []
        for name in layer:
            del waiting[name]
            for child in links.children[name]:
                waiting[child] -= 1
                if waiting[child] == 0:
                    freed.append(child)
        layer = sorted(freed)
    if waiting:
        raise CircularDependencyError(_cycle(links, waiting))
    return found


def reachable(start: Iterable[str], neighbours: Mapping[str, Sequence[str]]) -> set[str]:
    """The nodes at the start, and all that are met going from neighbour to neighbour."""
    seen = set(start)
    ahead = list(seen)
    while ahead:
        for name in neighbours[ahead.pop()]:
            if name not in seen:
                seen.add(name)
                ahead.append(name)
    return seen


def _cycle(links: Links, waiting: Mapping[str, int]) -> list[str]:
    """One cycle, each node feeding the next, the first of them named again at the end."""
    place: dict[str, int] = {}
    path: list[str] = []
    # Who waits has a parent that waits, so going up ends where it has been before.
    name = min(waiting)
    while name not in place:
        place[name] = len(path)
        path.append(name)
        name = next(parent for parent in links.parents[name] if parent in waiting)
    cycle = path[place[name] :][::-1]
    first = cycle.index(min(cycle))
    return [*cycle[first:], *cycle[: first + 1]]
