"""Finds the policy of each node, and puts retries into a plan.

Retries happen inside the task (`penstock.tasks.retries`), on every scheduler. Resources, priorities and workers are for clusters.
"""

from __future__ import annotations

import logging
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

_LOG = logging.getLogger(__name__)

Policies: TypeAlias = Mapping[str, NodePolicy | Mapping[str, Any]]
"""Policies, or dicts of their fields, by the name of a node, a namespace or a tag."""

_FIELDS = [each.name for each in fields(NodePolicy) if each.init]


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


def policies_by_node(
    nodes: Iterable[NodeLike], of_runner: Mapping[str, NodePolicy], of_run: Mapping[str, NodePolicy]
) -> dict[str, NodePolicy]:
    """The policy of each node that has one: for its name, or else for its innermost namespace, or else for its tags.

    Args:
        nodes: The nodes that run: perhaps a part of what the runner is for.
        of_runner: The runner's policies; a key that no node has is named in the log.
        of_run: The policies for this run; they replace the runner's policies with the same key.

    Raises:
        SelectionError: A key of `of_run` is neither a node nor a namespace nor a tag.
        RunnerError: Two tags of one node have different policies.
    """
    policies = {**of_runner, **of_run}
    if not policies:
        return {}
    nodes = list(nodes)
    _check_keys(nodes, policies, of_run)
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
    unknown = sorted(set(policy) - set(_FIELDS))
    if unknown:
        raise RunnerError(
            f"The policy of {key!r} has unknown fields: {', '.join(unknown)}; known are {', '.join(_FIELDS)}"
            f"{_advice_on_dots(key, _whole_name(key, policy))}"
        )
    try:
        return NodePolicy(**policy)
    except RunnerError as error:
        raise RunnerError(f"The policy of {key!r}: {error}") from None


def _whole_name(key: str, policy: Mapping[str, Any]) -> str:
    """The name with dots that was split into dicts, as Kedro's command line splits it."""
    for part, inner in policy.items():
        if part not in _FIELDS and isinstance(inner, Mapping):
            return _whole_name(f"{key}.{part}", inner)
    return key


def _advice_on_dots(key: str, name: str) -> str:
    if name == key:
        return ""
    return (
        f". If the policy is for {name!r}, this has to be one key; `--runner-params` splits names at their dots, "
        "so write such a name into a file for `kedro run --config`"
    )


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


def _check_keys(
    nodes: list[NodeLike], policies: Mapping[str, NodePolicy], of_run: Mapping[str, NodePolicy]
) -> None:
    known = {key for node in nodes for key in (node.name, *_namespaces(node), *node.tags)}
    unknown = sorted(policies.keys() - known)
    wrong = [key for key in unknown if key in of_run]
    if wrong:
        raise SelectionError(
            "These keys of policies are neither a node nor a namespace nor a tag of the pipeline",
            wrong,
            similar_names(wrong, known),
        )
    if unknown:
        similar = ", ".join(map(repr, similar_names(unknown, known)))
        _LOG.warning(
            "No node of this pipeline has these names, namespaces or tags, for which the runner has policies: %s%s",
            ", ".join(map(repr, unknown)),
            f"; similar ones are {similar}" if similar else "",
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
