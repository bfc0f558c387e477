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


def check_count(name: str, value: object) -> None:
    """Refuse what is no number of workers.

    Raises:
        RunnerError: It is no whole number, or below 1.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RunnerError(f"{name} is {value!r}; give a whole number from 1, or leave it out")


def checked_workers(max_workers: int | None) -> int:
    """`max_workers`, or one worker for each processor if it is None, on Windows at most `WINDOWS_MAX_WORKERS`.

    Raises:
        RunnerError: It is no whole number, or below 1.
    """
    if max_workers is not None:
        check_count("max_workers", max_workers)
        return max_workers
    count = os.cpu_count() or 1
    return min(WINDOWS_MAX_WORKERS, count) if sys.platform == "win32" else count


def useful_workers(max_workers: int, plan: Plan) -> int:
    """`max_workers`, but no more than nodes can run at once: all nodes, less one for each further layer (contract, section 6)."""
    layers = plan.pipeline.grouped_nodes
    return max(1, min(max_workers, sum(map(len, layers)) - len(layers) + 1))
