"""Nodes by namespace: which groups they make, and which namespaces are left and entered again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.pipeline.node import Node


@dataclass(frozen=True)
class GroupedNodes:
    """Nodes that run as one, for instance in one task of an orchestrator.

    Args:
        name: The top-level namespace, or the node's name.
        type: "namespace" or "nodes".
        nodes: The names of the nodes, in the order in which they run.
        dependencies: The names of the groups that run before.
    """

    name: str
    type: str
    nodes: list[str] = field(default_factory=list)
    dependencies: list[str] = field(default_factory=list)


def top_level(node: Node) -> str | None:
    """The outermost namespace of the node."""
    return node.namespace.partition(".")[0] if node.namespace else None


def grouped(
    ordered: Iterable[Node], parents: Mapping[str, Sequence[str]], *, by_namespace: bool
) -> list[GroupedNodes]:
    """The groups in the order of their first nodes; a node outside all namespaces is a group of its own.

    Args:
        ordered: The nodes in the order in which they run.
        parents: The names of the direct parents of every node.
        by_namespace: Whether nodes of one top-level namespace make one group.
    """
    groups: dict[str, GroupedNodes] = {}
    group_of: dict[str, str] = {}
    before: dict[str, dict[str, None]] = {}
    for node in ordered:
        namespace = top_level(node) if by_namespace else None
        key = group_of[node.name] = namespace or node.name
        group = groups.setdefault(key, GroupedNodes(key, "namespace" if namespace else "nodes"))
        group.nodes.append(node.name)
        before.setdefault(key, {}).update(dict.fromkeys(group_of[parent] for parent in parents[node.name]))
    for key, group in groups.items():
        group.dependencies.extend(name for name in before[key] if name != key)
    return list(groups.values())


def reentries(
    ordered: Sequence[Node], parents: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, list[str], str]]:
    """The namespaces that are left and entered again, once for each link over which that happens.

    A namespace that is entered again drags those inside it along: only the outermost is named.

    Args:
        ordered: The nodes in the order in which they run.
        parents: The names of the direct parents of every node.

    Yields:
        The namespace, the names of the nodes on the shortest way round, outside of it, and of the one that is back.
    """
    inside = _memberships(ordered)
    if not inside:
        return
    # One bit for each namespace. What a node has behind it is the union of its parents': as many steps as there
    # are links, however many paths there are.
    behind: dict[str, int] = {}
    for node in ordered:
        name = node.name
        behind[name] = sum(inside[name].values())
        for parent in parents[name]:
            behind[name] |= behind[parent]
        for parent in parents[name]:
            left = _left(inside[name], inside[parent], behind[parent])
            if left:
                yield left, _way_round(parent, left, parents, inside), name


def _memberships(ordered: Sequence[Node]) -> dict[str, dict[str, int]]:
    """The namespaces that a node is in, outermost first, with their bits; empty when none has two nodes.

    Nobody comes back to a namespace of one node.
    """
    count = Counter(namespace for node in ordered if node.namespace for namespace in node.namespace_prefixes)
    bits = {
        namespace: 1 << place for place, namespace in enumerate(name for name in count if count[name] > 1)
    }
    if not bits:
        return {}
    return {
        node.name: {namespace: bits[namespace] for namespace in node.namespace_prefixes if namespace in bits}
        for node in ordered
    }


def _left(entered: Mapping[str, int], outside: Mapping[str, int], behind: int) -> str | None:
    for namespace, bit in entered.items():
        if namespace not in outside and behind & bit:
            return namespace
    return None


def _way_round(
    start: str, namespace: str, parents: Mapping[str, Sequence[str]], inside: Mapping[str, Mapping[str, int]]
) -> list[str]:
    after: dict[str, str | None] = {start: None}
    ahead = deque([start])
    while True:
        name = ahead.popleft()
        for parent in parents[name]:
            if namespace in inside[parent]:
                return list(_followed(name, after))
            if parent not in after:
                after[parent] = name
                ahead.append(parent)


def _followed(name: str | None, after: Mapping[str, str | None]) -> Iterator[str]:
    while name is not None:
        yield name
        name = after[name]
