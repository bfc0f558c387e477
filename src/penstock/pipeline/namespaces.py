"""Groups of nodes by namespace, and namespaces that are interrupted by other nodes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.pipeline.node import Node


@dataclass(frozen=True)
class GroupedNodes:
    """Nodes that can run as one, for instance in one task of an orchestrator; `Pipeline.group_nodes_by` makes them.

    Args:
        name: The top-level namespace, or the node's name.
        type: "namespace" or "nodes".
        nodes: The names of the nodes, in the order in which they run.
        dependencies: The names of the groups that have to run before.

    Example:
        >>> from penstock.pipeline import node, pipeline
        >>> whole = pipeline([node(len, "a", "b", name="count", namespace="north")])
        >>> whole.group_nodes_by("namespace")
        [GroupedNodes(name='north', type='namespace', nodes=['north.count'], dependencies=[])]
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
    """The groups in the order of their first nodes; a node without a namespace is a group by itself.

    Args:
        ordered: The nodes in the order in which they run.
        parents: The names of the direct parents of every node.
        by_namespace: Whether nodes of one top-level namespace make one group.
    """
    groups: dict[str, GroupedNodes] = {}
    group_of: dict[str, str] = {}
    dependencies: dict[str, dict[str, None]] = {}
    for node in ordered:
        namespace = top_level(node) if by_namespace else None
        key = group_of[node.name] = namespace or node.name
        group = groups.setdefault(key, GroupedNodes(key, "namespace" if namespace else "nodes"))
        group.nodes.append(node.name)
        dependencies.setdefault(key, {}).update(
            dict.fromkeys(group_of[parent] for parent in parents[node.name])
        )
    for key, group in groups.items():
        group.dependencies.extend(name for name in dependencies[key] if name != key)
    return list(groups.values())


def interruptions(
    ordered: Sequence[Node], parents: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, list[str], str]]:
    """The namespaces that are left and entered again along a path of nodes, once for each link that enters one again.

    If several nested namespaces are entered again by one link, only the outermost is named.

    Args:
        ordered: The nodes in the order in which they run.
        parents: The names of the direct parents of every node.

    Yields:
        The namespace, the names of the nodes outside of it on the shortest path, and the name of the node that enters it.
    """
    namespaces = _bits_by_namespace(ordered)
    if not namespaces:
        return
    # One bit for each namespace. The namespaces upstream of a node are the union of those upstream of its parents, so
    # the work grows with the number of links, not with the number of paths.
    upstream: dict[str, int] = {}
    for node in ordered:
        name = node.name
        upstream[name] = sum(namespaces[name].values())
        for parent in parents[name]:
            upstream[name] |= upstream[parent]
        for parent in parents[name]:
            entered = _entered_again(namespaces[name], namespaces[parent], upstream[parent])
            if entered:
                yield entered, _nodes_between(parent, entered, parents, namespaces), name


def _bits_by_namespace(ordered: Sequence[Node]) -> dict[str, dict[str, int]]:
    """For each node the namespaces that contain it, the outermost first, with their bits.

    Namespaces with one node are left out, since nothing can interrupt them; the result is empty when no others are left.
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


def _entered_again(of_node: Mapping[str, int], of_parent: Mapping[str, int], upstream: int) -> str | None:
    for namespace, bit in of_node.items():
        if namespace not in of_parent and upstream & bit:
            return namespace
    return None


def _nodes_between(
    start: str,
    namespace: str,
    parents: Mapping[str, Sequence[str]],
    namespaces: Mapping[str, Mapping[str, int]],
) -> list[str]:
    """The shortest path from a node of the namespace to `start`, without that node: a breadth-first search upwards."""
    child_of: dict[str, str | None] = {start: None}
    waiting = deque([start])
    while True:
        name = waiting.popleft()
        for parent in parents[name]:
            if namespace in namespaces[parent]:
                return list(_path(name, child_of))
            if parent not in child_of:
                child_of[parent] = name
                waiting.append(parent)


def _path(name: str | None, child_of: Mapping[str, str | None]) -> Iterator[str]:
    while name is not None:
        yield name
        name = child_of[name]
