"""How single nodes are run: what is tried again, and where on a cluster they go.

Retries happen inside the task (`penstock.tasks.retries`), on every scheduler. All the rest is for Dask's distributed one.
"""

from __future__ import annotations

import builtins
import difflib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from penstock.errors import RunnerError, SelectionError

if TYPE_CHECKING:
    from penstock._typing import NodeLike


@dataclass(frozen=True)
class NodePolicy:
    """How a node is run.

    The call of the node, each load and each save are tried by themselves; each attempt of a call has fresh inputs. What a
    generator function yields, and what is saved with `is_async`, is saved once: an error there is not tried again.

    Raises:
        RunnerError: A value that makes no sense.
    """

    retries: int = 0
    """How often a load, a call or a save that failed is tried again."""
    retry_on: Sequence[type[Exception] | str] = (Exception,)
    """What is worth another attempt: exceptions, or their names: `OSError`, `requests.ConnectionError`."""
    wait_seconds: float = 0.0
    """The time before the second attempt."""
    wait_factor: float = 2.0
    """By how much each wait is longer than the one before."""
    resources: Mapping[str, float] | None = None
    """What the node's call takes of its worker while it runs, of what workers were started with: `{"GPU": 1}`."""
    priority: int = 0
    """Of several tasks that could start, Dask starts the one with the highest."""
    workers: str | Sequence[str] | None = None
    """The only workers that the node may run on: addresses, names or hosts."""
    errors: tuple[type[Exception], ...] = field(init=False, repr=False, compare=False, default=(Exception,))
    """The classes that `retry_on` names."""

    def __post_init__(self) -> None:
        named = [self.retry_on] if isinstance(self.retry_on, str | type) else self.retry_on
        object.__setattr__(self, "errors", tuple(map(_exception, named)))
        if self.retries < 0 or self.wait_seconds < 0 or self.wait_factor < 0:
            raise RunnerError(f"{self}: retries, wait_seconds and wait_factor are not negative")

    def waits(self) -> Iterator[float]:
        """The seconds before each attempt after the first."""
        return (self.wait_seconds * self.wait_factor**attempt for attempt in range(self.retries))

    @property
    def placement(self) -> dict[str, Any]:
        """What only a cluster can do, as far as it is asked for."""
        asked = {"resources": self.resources, "priority": self.priority, "workers": self.workers}
        return {name: value for name, value in asked.items() if value}


Policies: TypeAlias = Mapping[str, NodePolicy | Mapping[str, Any]]
"""A policy, or its fields, by the name of a node, a namespace or a tag."""


def checked_policies(policies: Policies | None) -> dict[str, NodePolicy]:
    """The policies, those that are plain dicts made into objects.

    Raises:
        RunnerError: A field that no policy has, or a value that makes no sense.
    """
    return {key: _policy(key, policy) for key, policy in (policies or {}).items()}


def policies_by_node(nodes: Iterable[NodeLike], policies: Mapping[str, NodePolicy]) -> dict[str, NodePolicy]:
    """The policy of each node that has one: by its name, or else its innermost namespace, or else its tags.

    Raises:
        SelectionError: A key is no node, namespace or tag.
        RunnerError: Two tags of one node have different policies.
    """
    if not policies:
        return {}
    nodes = list(nodes)
    _check_keys(nodes, policies)
    found = {node.name: _of_node(node, policies) for node in nodes}
    disagreeing = {
        name: tags for name, tags in found.items() if any(policies[tag] != policies[tags[0]] for tag in tags)
    }
    if disagreeing:
        told = "; ".join(f"{', '.join(tags)} about node {name}" for name, tags in disagreeing.items())
        raise RunnerError(
            f"The policies of these tags disagree: {told}. Give each such node a policy by its name"
        )
    return {name: policies[keys[0]] for name, keys in found.items() if keys}


def resources_by_node(policies: Mapping[str, NodePolicy]) -> dict[str, dict[str, float]]:
    """What each node takes of its worker, for those that take anything.

    Args:
        policies: By the name of the node.
    """
    return {name: dict(policy.resources) for name, policy in policies.items() if policy.resources}


def _policy(key: str, policy: NodePolicy | Mapping[str, Any]) -> NodePolicy:
    if isinstance(policy, NodePolicy):
        return policy
    known = [each.name for each in fields(NodePolicy) if each.init]
    unknown = sorted(set(policy) - set(known))
    if unknown:
        raise RunnerError(f"The policy of {key!r} has {', '.join(unknown)}; a policy has {', '.join(known)}")
    return NodePolicy(**policy)


def _exception(named: type[Exception] | str) -> type[Exception]:
    found: Any = named
    if isinstance(named, str):
        try:
            found = getattr(builtins, named, None) or pkgutil.resolve_name(named)
        except (ImportError, AttributeError, ValueError):
            found = None
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    raise RunnerError(
        f"retry_on has {named!r}, which is no exception; give a class, or its name with its module"
    )


def _of_node(node: NodeLike, policies: Mapping[str, NodePolicy]) -> list[str]:
    """The key that decides; several if they are tags, which are on one level; none if nothing is said of the node."""
    for key in (node.name, *_namespaces(node)):
        if key in policies:
            return [key]
    return sorted(tag for tag in node.tags if tag in policies)


def _namespaces(node: NodeLike) -> list[str]:
    """The node's namespace and those around it, the innermost first."""
    parts = node.namespace.split(".") if node.namespace else []
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _check_keys(nodes: list[NodeLike], policies: Mapping[str, NodePolicy]) -> None:
    known = {key for node in nodes for key in (node.name, *_namespaces(node), *node.tags)}
    unknown = sorted(set(policies) - known)
    if unknown:
        close = [near for key in unknown for near in difflib.get_close_matches(key, known)]
        raise SelectionError(
            "These policies are for no node, namespace or tag of the pipeline", unknown, close
        )
