"""Work that is tried again when it fails, inside its task: so retries mean the same on every scheduler.

A plan without retries is left as it is, and costs nothing. Each load, each save and the call of a node are tried by themselves;
each attempt of a call has inputs of its own, loaded again or copied, since the one before may have changed what it was given.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from penstock._pickling import reduce_dataclass
from penstock.tasks.base import Work
from penstock.tasks.node_steps import Seconds, call_node

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.hooks import Hooks
    from penstock.tasks.bindings import InputBinding
    from penstock.tasks.call_tasks import Call
    from penstock.tasks.dataset_tasks import Load
    from penstock.tasks.policy import NodePolicy

_LOG = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 0.5
"""How soon work that waits for its next attempt notices that its run is over."""

Given = TypeVar("Given")


def without_retries(work: Work) -> Work:
    """What is tried, of work that is tried again when it fails; all other work as it is."""
    return work.work if isinstance(work, Retried) else work


@dataclass(eq=False, slots=True)
class Retried(Work):
    """A load or a save, tried as often as the policy says."""

    dataset: str
    work: Work
    policy: NodePolicy
    __reduce__ = reduce_dataclass

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
        return _with_retries(partial(self.work.do, values, hooks), self.policy, self.work)


@dataclass(eq=False, slots=True)
class RetriedCall(Retried):
    """The call of a node, tried as often as the policy says."""

    work: Call
    loads: Mapping[str, Load]
    """Give the stored inputs of the second and later attempts, by the name of the dataset."""
    __reduce__ = reduce_dataclass

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:
        """What the node made, as it goes on in the graph; the seconds are those of the last attempt."""
        numbers = itertools.count()

        def attempt() -> tuple[dict[str, Data], float, float]:
            given = self._anew(values, hooks) if next(numbers) else values
            return self._made(given, hooks)

        outputs, loading, calling = _with_retries(attempt, self.policy, self.work)
        clock = time.perf_counter()
        kept = self.work.kept(outputs, hooks)
        return kept, (loading, calling, time.perf_counter() - clock)

    def _anew(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, ...]:
        """What the graph gives, with fresh data in place of what an attempt has had that failed."""
        taken = [(name, each) for name, each in self.work.named_inputs() if each.is_given]
        again = [self._again(*pair, value, hooks) for pair, value in zip(taken, values, strict=False)]
        return (*again, *values[len(taken) :])

    def _again(self, name: str, each: InputBinding, value: Data, hooks: Hooks) -> Data:
        return self.loads[name].do((), hooks)[0] if each.is_loaded else value

    def _made(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[dict[str, Data], float, float]:
        started = time.perf_counter()
        inputs = self.work.taken(values, hooks)
        taken = time.perf_counter()
        outputs = call_node(self.node, inputs, self.work.catalog, hooks, self.context)
        return outputs, taken - started, time.perf_counter() - taken


def _with_retries(attempt: Callable[[], Given], policy: NodePolicy, work: Work) -> Given:
    """What the first successful attempt gives; the last one's error if there is none, or if the run is over."""
    is_stopped = work.context.backend.is_stopped
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
            _wait(seconds, is_stopped)
            if is_stopped():
                raise
    return attempt()


def _wait(seconds: float, is_stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not is_stopped():
        time.sleep(min(left, LONGEST_SLEEP_SECONDS))
