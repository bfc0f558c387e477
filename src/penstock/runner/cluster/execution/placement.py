"""Where a cluster runs which node, and what it runs first."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask

if TYPE_CHECKING:
    from distributed import Client

    from penstock.graph.plan import Plan
    from penstock.tasks.policy import NodePolicy

_LOG = logging.getLogger(__name__)


def placed(client: Client, plan: Plan) -> contextlib.AbstractContextManager[Any]:
    """While this is open, the plan's graph is submitted with what its policies say of resources, priority and workers.

    Resources are taken by the call of a node, and not by its loads and saves, which could wait for a GPU that they do not need.
    """
    asked = {name: policy for name, policy in plan.policies.items() if policy.placement}
    tasks = {key: (task.kind, asked[task.node]) for key, task in plan.tasks.items() if task.node in asked}
    resources = {key: dict(policy.resources or {}) for key, (kind, policy) in tasks.items() if kind == "call"}
    priorities = {key: policy.priority for key, (_, policy) in tasks.items()}
    by_node = _workers(client, asked)
    workers = {key: by_node[task.node] for key, task in plan.tasks.items() if task.node in by_node}
    by_annotation = {
        "resources": _ByKey(resources, {}),
        "priority": _ByKey(priorities, 0),
        "workers": _ByKey(workers, []),
    }
    # What nobody asks for is left to what the caller of the run has annotated.
    annotations = {name: given for name, given in by_annotation.items() if any(given.value_by_key.values())}
    annotated: contextlib.AbstractContextManager[Any] = dask.annotate(**annotations)
    return annotated


def _workers(client: Client, policies: Mapping[str, NodePolicy]) -> dict[str, list[str]]:
    """The workers that each node may run on; by address where one of that name is there, since a name may be a number."""
    asked = {name: _listed(policy.workers) for name, policy in policies.items() if policy.workers}
    known = client.scheduler_info(n_workers=-1)["workers"] if asked else {}
    address_by_name = {str(worker["name"]): address for address, worker in known.items()}
    there = {*known, *address_by_name, *(worker["host"] for worker in known.values())}
    for name, workers in asked.items():
        if there.isdisjoint(workers):
            _LOG.warning("Node %s waits for a worker of its policy to come: %s", name, ", ".join(workers))
    return {name: [address_by_name.get(each, each) for each in workers] for name, workers in asked.items()}


def _listed(workers: str | Sequence[str]) -> list[str]:
    return [workers] if isinstance(workers, str) else list(workers)


@dataclass(frozen=True)
class _ByKey:
    """An annotation that Dask's scheduler asks for each key; it takes no None."""

    value_by_key: dict[str, Any]
    default: Any

    def __call__(self, key: str) -> Any:
        return self.value_by_key.get(key, self.default)
