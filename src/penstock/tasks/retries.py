"""Retries of failed work inside its task, so that they work the same on every scheduler.

Each load, each save and the call of a node are retried by themselves. Each attempt of a call gets fresh inputs, loaded again or
copied, since the attempt before may have changed them. Only the work of nodes with retries is wrapped; other work costs nothing.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from penstock.tasks.base import Work

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.hooks import Hooks
    from penstock.tasks.call_tasks import Call
    from penstock.tasks.dataset_tasks import Load
    from penstock.tasks.node_steps import Seconds
    from penstock.tasks.policy import NodePolicy

_LOG = logging.getLogger(__name__)

MAX_SLEEP_SECONDS = 0.5
"""How long work that waits for its next attempt takes at most to notice that its run has failed or was interrupted."""

Result = TypeVar("Result")


def without_retries(work: Work) -> Work:
    """The work inside a `Retried`; any other work as it is."""
    return work.work if isinstance(work, Retried) else work


@dataclass(eq=False, slots=True)
class Retried(Work):
    """A load or a save that is retried as its policy says."""

    dataset: str
    work: Work
    policy: NodePolicy

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of the work inside."""
        return self.work.kind

    @property
    def uses_values(self) -> bool:  # type: ignore[override]
        """Whether the work inside uses the values that it is called with."""
        return self.work.uses_values

    def __str__(self) -> str:
        return str(self.work)

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds | None]:
        """The result and the seconds of the work inside."""
        return _with_retries(partial(self.work.do, values, hooks), self.policy, self.work)


@dataclass(eq=False, slots=True)
class RetriedCall(Retried):
    """The call of a node that is retried as its policy says."""

    work: Call
    loads: Mapping[str, Load]
    """Loads the stored inputs again for the second and later attempts, by the name of the dataset."""

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:
        """The result of the call; the seconds to load and to call are from the last attempt."""
        numbers = itertools.count()

        def attempt() -> tuple[dict[str, Data], float, float]:
            fresh = self._fresh_values(values, hooks) if next(numbers) else values
            return self.work.call(fresh, hooks)

        return self.work.finish(*_with_retries(attempt, self.policy, self.work), hooks)

    def _fresh_values(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, ...]:
        """The values from the graph, with those loaded again that a failed attempt may have changed."""
        names = [name for name, each in self.work.named_inputs() if each.comes_from_graph]
        fresh = [
            self.loads[name].do((), hooks)[0] if name in self.loads else value
            for name, value in zip(names, values, strict=False)
        ]
        return (*fresh, *values[len(names) :])


def _with_retries(attempt: Callable[[], Result], policy: NodePolicy, work: Work) -> Result:
    """The result of the first attempt that succeeds.

    Raises:
        Exception: The error of the last attempt: of the last that the policy allows, or that was made before the run failed.
    """
    is_stopped = work.context.backend.is_stopped
    for number, seconds in enumerate(policy.waits(), start=1):
        try:
            return attempt()
        except policy.errors as error:  # noqa: PERF203 - the loop is there to catch errors
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
    end = time.monotonic() + seconds
    while (remaining := end - time.monotonic()) > 0 and not is_stopped():
        time.sleep(min(remaining, MAX_SLEEP_SECONDS))
