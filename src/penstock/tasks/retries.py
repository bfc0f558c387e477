"""Work that is tried again when it fails, inside its task: so retries mean the same on every scheduler.

A plan without retries is left as it is, and costs nothing. Each load, each save and the call of a node are tried by themselves;
each attempt of a call has inputs of its own, loaded again or copied, since the one before may have changed what it was given.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from penstock.graph.compact import reduced
from penstock.tasks.node_steps import Seconds, call_node
from penstock.tasks.dataset_tasks import Call, Confirm, Load, Pick, Work

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.graph.plan import Plan
    from penstock.graph.policies import NodePolicy
    from penstock.tasks.bindings import Input
    from penstock.hooks import Hooks

_LOG = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 0.5
"""How soon work that waits for its next attempt notices that its run is over."""

Given = TypeVar("Given")


def with_policies(plan: Plan, policies: Mapping[str, NodePolicy]) -> Plan:
    """The plan, its tasks tried as often as the policies of their nodes say.

    Args:
        plan: Its graph is changed.
        policies: By the name of the node.
    """
    if not policies:
        return plan
    retried = {name for name, policy in policies.items() if policy.retries}
    works = {key: plan.graph[key].func for key, task in plan.tasks.items() if task.node in retried}
    loads = {(work.node.name, work.dataset): work for work in works.values() if isinstance(work, Load)}
    for key, work in works.items():
        if not isinstance(work, Pick | Confirm):
            plan.graph[key].func = _tried_work(work, policies[work.node.name], loads)
    return replace(plan, policies=policies)


def _tried_work(work: Work, policy: NodePolicy, loads: Mapping[tuple[str, str], Load]) -> Work:
    if not isinstance(work, Call):
        return Tried(work.context, work.node, work.dataset, work, policy)
    own = {name: loads[work.node.name, name] for name, each in work.named_inputs() if each.is_loaded}
    inputs = [each if each.is_loaded else replace(each, copies=each.is_given) for each in work.ports.inputs]
    apart = replace(work, ports=replace(work.ports, inputs=tuple(inputs)))
    return TriedCall(work.context, work.node, "", apart, policy, own)


def untried(work: Work) -> Work:
    """What is tried, of work that is tried again when it fails; all other work as it is."""
    return work.work if isinstance(work, Tried) else work


@dataclass(eq=False, slots=True)
class Tried(Work):
    """A load or a save, tried as often as the policy says."""

    dataset: str
    work: Work
    policy: NodePolicy
    __reduce__ = reduced

    @property
    def kind(self) -> str:  # type: ignore[override]
        """That of the work."""
        return self.work.kind

    @property
    def reads(self) -> bool:  # type: ignore[override]
        """That of the work."""
        return self.work.reads

    def __str__(self) -> str:
        return str(self.work)

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds | None]:
        """What the work does."""
        return _tried(partial(self.work.do, values, hooks), self.policy, self.work)


@dataclass(eq=False, slots=True)
class TriedCall(Tried):
    """The call of a node, tried as often as the policy says."""

    work: Call
    loads: Mapping[str, Load]
    """Give the stored inputs of the second and later attempts, by the name of the dataset."""
    __reduce__ = reduced

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:
        """What the node made, as it goes on in the graph; the seconds are those of the last attempt."""
        numbers = itertools.count()

        def attempt() -> tuple[dict[str, Data], float, float]:
            given = self._anew(values, hooks) if next(numbers) else values
            return self._made(given, hooks)

        outputs, loading, calling = _tried(attempt, self.policy, self.work)
        clock = time.perf_counter()
        kept = self.work.kept(outputs, hooks)
        return kept, (loading, calling, time.perf_counter() - clock)

    def _anew(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, ...]:
        """What the graph gives, with fresh data in place of what an attempt has had that failed."""
        taken = [(name, each) for name, each in self.work.named_inputs() if each.is_given]
        again = [self._again(*pair, value, hooks) for pair, value in zip(taken, values, strict=False)]
        return (*again, *values[len(taken) :])

    def _again(self, name: str, each: Input, value: Data, hooks: Hooks) -> Data:
        return self.loads[name].do((), hooks)[0] if each.is_loaded else value

    def _made(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[dict[str, Data], float, float]:
        started = time.perf_counter()
        inputs = self.work.taken(values, hooks)
        taken = time.perf_counter()
        outputs = call_node(self.node, inputs, self.work.catalog, hooks, self.context)
        return outputs, taken - started, time.perf_counter() - taken


def _tried(attempt: Callable[[], Given], policy: NodePolicy, work: Work) -> Given:
    """What the first successful attempt gives; the last one's error if there is none, or if the run is over."""
    is_over = work.context.handover.is_over
    for number, seconds in enumerate(policy.waits(), start=1):
        try:
            return attempt()
        except policy.errors as error:  # noqa: PERF203 - to catch is what the loop is for
            _LOG.warning(
                "Attempt %d of %d failed: %s: %r; the next one in %.1f s",
                number,
                policy.retries + 1,
                work,
                error,
                seconds,
            )
            _wait(seconds, is_over)
            if is_over():
                raise
    return attempt()


def _wait(seconds: float, is_over: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not is_over():
        time.sleep(min(left, LONGEST_SLEEP_SECONDS))
