"""How many workers a local runner starts."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from penstock.errors import RunnerError

if TYPE_CHECKING:
    from penstock.graph.plan import Plan

WINDOWS_MAX_WORKERS = 61
"""Windows waits for at most 63 handles at once, two of which a pool needs itself (bpo-26903)."""


def default_workers() -> int:
    """One worker for each processor; on Windows at most `WINDOWS_MAX_WORKERS`."""
    count = os.cpu_count() or 1
    return min(WINDOWS_MAX_WORKERS, count) if sys.platform == "win32" else count


def checked_workers(max_workers: int | None) -> int:
    """`max_workers`, or the default if it is None.

    Raises:
        RunnerError: It is no whole number, or below 1.
    """
    if max_workers is None:
        return default_workers()
    given: object = max_workers
    if not isinstance(given, int) or isinstance(given, bool):
        raise RunnerError(
            f"max_workers is {max_workers!r}, not a whole number; give at least 1, or leave it out"
        )
    if max_workers < 1:
        raise RunnerError(
            f"max_workers is {max_workers}; give at least 1, or leave it out for one worker for each processor"
        )
    return max_workers


def useful_workers(max_workers: int, plan: Plan) -> int:
    """`max_workers`, but no more than nodes can run at once: all nodes, less one for each further layer (contract, section 6)."""
    layers = plan.pipeline.grouped_nodes
    return max(1, min(max_workers, sum(map(len, layers)) - len(layers) + 1))
