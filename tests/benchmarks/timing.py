"""Times that can be compared: taken in turn, in the same minutes of the same machine, and as ratios of pairs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

Contestant = Callable[[], float]
"""Does the work once and gives what it took."""

Clock = Callable[[], float]


def timed(function: Callable[[], Any], clock: Clock = time.perf_counter) -> float:
    """The seconds that a call takes, on a clock.

    `time.process_time` does not count what other programs take of the machine, and is for work on one thread only.
    """
    started = clock()
    function()
    return clock() - started


def in_turn(contestants: Mapping[str, Contestant], rounds: int, warm_ups: int = 1) -> dict[str, list[float]]:
    """What each contestant took in each round. Who begins changes from round to round; warm-ups do not count."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(warm_ups + rounds):
        names = list(contestants)
        for name in names if number % 2 else reversed(names):
            gc.collect()
            value = contestants[name]()
            if number >= warm_ups:
                taken[name].append(value)
    return taken


def ratio(ours: list[float], others: list[float]) -> float:
    """The median of the ratios of the pairs: a slow minute of the machine slows both of a pair."""
    return median(mine / other for mine, other in zip(ours, others, strict=True))
