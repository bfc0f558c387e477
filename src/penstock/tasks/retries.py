"""Retries of failed work inside its task, so that they work the same on every scheduler.

Each load, each save and the call of a node are retried by themselves. Each attempt of a call gets fresh inputs, loaded again or
copied, since the attempt before may have changed them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from penstock.tasks.policy import NodePolicy

_LOG = logging.getLogger(__name__)

MAX_SLEEP_SECONDS = 0.5
"""How long work that waits for its next attempt takes at most to notice that its run has failed or was interrupted."""

Result = TypeVar("Result")


def with_retries(
    attempt: Callable[[int], Result], policy: NodePolicy, task: object, is_stopped: Callable[[], bool]
) -> Result:
    """The result of the first attempt that succeeds.

    Args:
        attempt: Called with the number of failed attempts before it.
        policy: How often to try, after which errors and waits.
        task: Named in the log.
        is_stopped: Whether the run has failed or was interrupted: then no further attempt is made.

    Raises:
        Exception: The error of the last attempt: of the last that the policy allows, or that was made before the run failed.
    """
    for number, seconds in enumerate(policy.waits()):
        try:
            return attempt(number)
        except policy.errors as error:  # noqa: PERF203 - the loop is there to catch errors
            failed = f"{number + 1} of {policy.retries + 1}"
            _LOG.warning("Attempt %s failed: %s: %r; the next one in %.1f s", failed, task, error, seconds)
            _wait(seconds, is_stopped)
            if is_stopped():
                raise
    return attempt(policy.retries)


def _wait(seconds: float, is_stopped: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while (remaining := end - time.monotonic()) > 0 and not is_stopped():
        time.sleep(min(remaining, MAX_SLEEP_SECONDS))
