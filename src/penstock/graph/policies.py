"""How single nodes are run: what is tried again, and where on a cluster they go.

Retries happen inside the task (`penstock.tasks.retries`), on every scheduler. All the rest is for Dask's distributed one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from penstock.errors import RunnerError, SelectionError
from penstock.graph.taskspec import with_work, work_of
from penstock.tasks.call_tasks import Call
from penstock.tasks.dataset_tasks import Confirm, Load, Pick
from penstock.tasks.policy import NodePolicy
from penstock.tasks.retries import Retried, RetriedCall

if TYPE_CHECKING:
    from penstock._typing import NodeLike
    from penstock.graph.plan import Plan
    from penstock.tasks.base import Work


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


def with_policies(plan: Plan, policies: Mapping[str, NodePolicy]) -> Plan:
    """The plan with these policies: loads, calls and saves of nodes with retries are replaced by retried ones.

    Args:
        plan: Stays as it is.
        policies: By the name of the node.
    """
    if not policies:
        return plan
    retried = {name for name, policy in policies.items() if policy.retries}
    works = {key: work_of(plan.graph[key]) for key, task in plan.tasks.items() if task.node in retried}
    loads = {(work.node.name, work.dataset): work for work in works.values() if isinstance(work, Load)}
    changed = {
        key: with_work(plan.graph[key], _retried_task(work, policies[work.node.name], loads))
        for key, work in works.items()
        if not isinstance(work, Pick | Confirm)
    }
    return replace(plan, graph={**plan.graph, **changed}, policies=policies)


def _retried_task(work: Work, policy: NodePolicy, loads: Mapping[tuple[str, str], Load]) -> Work:
    if not isinstance(work, Call):
        return Retried(work.context, work.node, work.dataset, work, policy)
    own = {name: loads[work.node.name, name] for name, each in work.named_inputs() if each.is_loaded}
    inputs = [
        each if each.is_loaded else replace(each, copies=each.is_given) for each in work.bindings.inputs
    ]
    apart = replace(work, bindings=replace(work.bindings, inputs=tuple(inputs)))
    return RetriedCall(work.context, work.node, "", apart, policy, own)
