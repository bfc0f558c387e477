"""Finds the policy of each node, and puts retries into a plan.

Retries happen inside the task (`penstock.tasks.retries`), on every scheduler. Resources, priorities and workers are for clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from penstock._similar import similar_names
from penstock.errors import RunnerError, SelectionError
from penstock.graph.taskspec import with_work, work_of
from penstock.tasks.call_tasks import Call
from penstock.tasks.dataset_tasks import Confirm, PickOutput
from penstock.tasks.load_tasks import Load
from penstock.tasks.policy import NodePolicy

if TYPE_CHECKING:
    from penstock._typing import NodeLike
    from penstock.graph.plan import Plan


Policies: TypeAlias = Mapping[str, NodePolicy | Mapping[str, Any]]
"""Policies, or dicts of their fields, by the name of a node, a namespace or a tag."""


def checked_policies(policies: Policies | None) -> dict[str, NodePolicy]:
    """The policies, with a `NodePolicy` in place of each dict.

    Raises:
        RunnerError: `policies` is not a dict, a dict has a field that policies do not have, or a field has a wrong value.
    """
    if not isinstance(policies or {}, Mapping):
        raise RunnerError(
            f"policies is {policies!r}; give a dict: the name of a node, a namespace or a tag, and its NodePolicy"
        )
    return {key: _policy(key, policy) for key, policy in (policies or {}).items()}


def policies_by_node(nodes: Iterable[NodeLike], policies: Mapping[str, NodePolicy]) -> dict[str, NodePolicy]:
    """The policy of each node that has one: for its name, or else for its innermost namespace, or else for its tags.

    Raises:
        SelectionError: A key is neither a node nor a namespace nor a tag.
        RunnerError: Two tags of one node have different policies.
    """
    if not policies:
        return {}
    nodes = list(nodes)
    _check_keys(nodes, policies)
    found = {node.name: _keys_for(node, policies) for node in nodes}
    disagreeing = {
        name: tags for name, tags in found.items() if any(policies[tag] != policies[tags[0]] for tag in tags)
    }
    if disagreeing:
        text = "; ".join(f"{', '.join(tags)} for node {name}" for name, tags in disagreeing.items())
        raise RunnerError(
            f"The policies of these tags differ: {text}. Add a policy for each such node by its name"
        )
    return {name: policies[keys[0]] for name, keys in found.items() if keys}


def _policy(key: str, policy: NodePolicy | Mapping[str, Any]) -> NodePolicy:
    if isinstance(policy, NodePolicy):
        return policy
    if not isinstance(policy, Mapping):
        raise RunnerError(f"The policy of {key!r} is {policy!r}; give a NodePolicy, or a dict of its fields")
    known = [each.name for each in fields(NodePolicy) if each.init]
    unknown = sorted(set(policy) - set(known))
    if unknown:
        raise RunnerError(
            f"The policy of {key!r} has unknown fields: {', '.join(unknown)}; known are {', '.join(known)}"
        )
    return NodePolicy(**policy)


def _keys_for(node: NodeLike, policies: Mapping[str, NodePolicy]) -> list[str]:
    """The key whose policy the node gets: none if it gets no policy, several if they are tags."""
    for key in (node.name, *_namespaces(node)):
        if key in policies:
            return [key]
    return sorted(tag for tag in node.tags if tag in policies)


def _namespaces(node: NodeLike) -> list[str]:
    """The node's namespace and the namespaces around it, the innermost first."""
    parts = node.namespace.split(".") if node.namespace else []
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _check_keys(nodes: list[NodeLike], policies: Mapping[str, NodePolicy]) -> None:
    known = {key for node in nodes for key in (node.name, *_namespaces(node), *node.tags)}
    unknown = sorted(set(policies) - known)
    if unknown:
        raise SelectionError(
            "These keys of policies are neither a node nor a namespace nor a tag of the pipeline",
            unknown,
            similar_names(unknown, known),
        )


def with_policies(plan: Plan, policies: Mapping[str, NodePolicy]) -> Plan:
    """A plan with these policies, in which loads, calls and saves of nodes with retries are retried.

    Args:
        plan: The plan without policies; it stays as it is.
        policies: By the name of the node.
    """
    if not policies:
        return plan
    retried = {name for name, policy in policies.items() if policy.retries}
    works = {key: work_of(plan.graph[key]) for key, task in plan.tasks.items() if task.node in retried}
    loads = {(work.node.name, work.dataset): work for work in works.values() if isinstance(work, Load)}
    changed = {
        key: with_work(
            plan.graph[key],
            _retried_call(work, loads) if isinstance(work, Call) else work,
            policy=policies[work.node.name],
        )
        for key, work in works.items()
        if not isinstance(work, PickOutput | Confirm)
    }
    return replace(plan, graph={**plan.graph, **changed}, policies=policies)


def _retried_call(call: Call, loads: Mapping[tuple[str, str], Load]) -> Call:
    """The call with what it needs to get fresh inputs, since a failed attempt may have changed them."""
    reloads = {name: loads[call.node.name, name] for name, each in call.named_inputs() if each.has_load_task}
    inputs = [
        each if each.has_load_task else replace(each, is_copied=each.comes_from_graph)
        for each in call.bindings.inputs
    ]
    return replace(call, bindings=replace(call.bindings, inputs=tuple(inputs)), reloads=reloads)
