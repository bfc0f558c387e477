"""How long an array is on its way from a node in one process to a node in another."""

from __future__ import annotations

import gc
from statistics import median
from typing import Any

from penstock import ParallelRunner
from tests.benchmarks.arrays import pair
from tests.benchmarks.fresh import called_fresh
from tests.benchmarks.pools import WORKERS, get_in, loky_pool
from tests.benchmarks.table import NOT_INSTALLED, Bar, Benchmark, Effort, Result, Row, seconds
from tests.benchmarks.timing import in_turn, ratio
from tests.benchmarks.work import HAS_KEDRO, bare, catalog, kedros, ours, run_kedro


def handover(effort: Effort) -> list[Result]:
    megabytes, steps = effort.size(512, quick=1), pair()
    pipe = ours(steps)

    with loky_pool() as pool, ParallelRunner(WORKERS) as runner:

        def our_seconds(size: float = megabytes) -> float:
            value: float = runner.run(pipe, catalog({"megabytes": size}))["seconds"].load()
            return value

        def bare_seconds(size: float = megabytes) -> float:
            value: float = get_in(pool, *bare(steps, {"megabytes": size}))
            return value

        our_seconds(1), bare_seconds(1)
        contestants: dict[str, Any] = {"ours": our_seconds, "bare": bare_seconds}
        if HAS_KEDRO:
            contestants["kedro"] = lambda: called_fresh("handover", "kedro_seconds", megabytes)
        # Once: it is 20 times and more, and the others take long.
        taken = in_turn(contestants, rounds=1, warm_ups=0)
    cells = {name: seconds(median(times)) for name, times in taken.items()}
    return [
        Result(cells["ours"], cells["bare"], value=ratio(taken["bare"], taken["ours"])),
        Result(cells["ours"], kedro=cells["kedro"], value=ratio(taken["kedro"], taken["ours"]))
        if HAS_KEDRO
        else Result(cells["ours"], kedro=NOT_INSTALLED),
    ]


def kedro_seconds(megabytes: float) -> float:
    """What it takes in Kedro's own processes."""
    gc.collect()
    value: float = run_kedro("ParallelRunner", kedros(pair()), {"megabytes": megabytes})()
    return value


BENCHMARKS = {
    "handover": Benchmark(
        (
            Row(
                "hand-over between processes",
                "an array of 512 MB; Dask's time by ours",
                Bar(10, is_floor=True),
            ),
            Row("hand-over between processes", "the same; Kedro's time by ours", Bar(6, is_floor=True)),
        ),
        handover,
    )
}
