"""What a node costs that does nothing to speak of, on each scheduler, and in Kedro."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import Any

import dask.local
import dask.threaded
from distributed import Client, LocalCluster

from penstock import DaskRunner, ParallelRunner, SequentialRunner, ThreadRunner
from tests.benchmarks.fresh import called_fresh
from tests.benchmarks.pools import WORKERS, get_in, loky_pool
from tests.benchmarks.table import NOT_INSTALLED, Bar, Benchmark, Effort, Result, Row, per_node
from tests.benchmarks.timing import Clock, Contestant, in_turn, ratio, timed
from tests.benchmarks.work import HAS_KEDRO, LAST, Step, bare, catalog, grid, kedros, ours, run_kedro

WIDE = 20


def our_run(runner: Any, steps: Sequence[Step], clock: Clock = time.perf_counter) -> Contestant:
    """A whole run, up to the value of the last node. The pipeline is built before; the catalog is new each time."""
    pipe = ours(steps)

    def output(data: Any) -> Any:
        return runner.run(pipe, data)[LAST].load()

    return lambda: timed(functools.partial(output, catalog()), clock)


def bare_run(
    get: Callable[[dict[str, Any], str], Any], steps: Sequence[Step], clock: Clock = time.perf_counter
) -> Contestant:
    """Dask's `get` with a graph that is made for it, which is what compiling is for us."""
    return lambda: timed(lambda: get(*bare(steps)), clock)


def compared(steps: Sequence[Step], taken: dict[str, list[float]]) -> Result:
    """The row of contestants called `ours`, `bare` and perhaps `kedro`; the ratio is to bare Dask."""
    cells = {name: per_node(median(times), len(steps)) for name, times in taken.items()}
    return Result(**cells, value=ratio(taken["ours"], taken["bare"]))


def sequential(effort: Effort) -> list[Result]:
    steps = grid(WIDE, effort.size(500, quick=10))
    contestants = {
        "ours": our_run(SequentialRunner(), steps, time.process_time),
        "bare": bare_run(dask.local.get_sync, steps, time.process_time),
    }
    return [compared(steps, in_turn(contestants, effort.rounds(5)))]


def threads(effort: Effort) -> list[Result]:
    steps = grid(WIDE, effort.size(500, quick=10))

    def get(graph: dict[str, Any], key: str) -> Any:
        with ThreadPoolExecutor(WORKERS) as pool:
            return dask.threaded.get(graph, key, pool=pool)

    contestants = {"ours": our_run(ThreadRunner(WORKERS), steps), "bare": bare_run(get, steps)}
    return [compared(steps, in_turn(contestants, effort.rounds(5)))]


def processes(effort: Effort) -> list[Result]:
    steps = grid(WIDE, effort.size(100, quick=3))
    with loky_pool() as pool, ParallelRunner(WORKERS) as runner:
        contestants = {
            "ours": our_run(runner, steps),
            "bare": bare_run(lambda graph, key: get_in(pool, graph, key), steps),
            "batches": bare_run(lambda graph, key: get_in(pool, graph, key, one_at_a_time=False), steps),
        }
        taken = in_turn(contestants, effort.rounds(3))
    batches = {"ours": taken["ours"], "bare": taken.pop("batches")}
    return [compared(steps, taken), compared(steps, batches)]


@contextmanager
def two_workers() -> Iterator[Client]:
    """A client of a cluster of two processes."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def cluster(effort: Effort) -> list[Result]:
    with two_workers() as client:
        return [
            _on_cluster(client, grid(WIDE, effort.size(deep, quick=2)), effort.rounds(rounds), warm_ups)
            for deep, rounds, warm_ups in ((50, 3, 1), (250, 2, 0))
        ]


def _on_cluster(client: Client, steps: Sequence[Step], rounds: int, warm_ups: int) -> Result:
    contestants = {"ours": our_run(DaskRunner(client), steps), "bare": bare_run(client.get, steps)}
    return compared(steps, in_turn(contestants, rounds, warm_ups))


# Against Kedro


def kedro_in_one_process(effort: Effort) -> list[Result]:
    steps = grid(WIDE, effort.size(50, quick=2))
    runners = {"SequentialRunner": SequentialRunner(), "ThreadRunner": ThreadRunner(WORKERS)}
    return [_against_kedro(effort, steps, name, our_run(runner, steps)) for name, runner in runners.items()]


def kedro_in_processes(effort: Effort) -> list[Result]:
    steps = grid(WIDE, 3)
    with ParallelRunner(WORKERS) as runner:
        contestants = [lambda: called_fresh("overhead", "our_seconds"), our_run(runner, steps)]
        return [_against_kedro(effort, steps, "ParallelRunner", each) for each in contestants]


def _against_kedro(effort: Effort, steps: Sequence[Step], runner: str, contestant: Contestant) -> Result:
    if not HAS_KEDRO:
        times = in_turn({"ours": contestant}, effort.rounds(3))["ours"]
        return Result(per_node(median(times), len(steps)), kedro=NOT_INSTALLED)
    # Kedro forks its workers, which only an interpreter without threads survives.
    in_fork = runner == "ParallelRunner"
    contestants = {
        "ours": contestant,
        "kedro": (lambda: called_fresh("overhead", "kedro_seconds", runner))
        if in_fork
        else _kedro(runner, steps),
    }
    # Python compiles what a new interpreter imports; in this one Kedro has nothing to warm up, and its seconds are long.
    contestant()
    taken = in_turn(contestants, effort.rounds(3 if in_fork else 2), warm_ups=1 if in_fork else 0)
    cells = {name: per_node(median(times), len(steps)) for name, times in taken.items()}
    return Result(**cells, value=ratio(taken["kedro"], taken["ours"]))


def _kedro(runner: str, steps: Sequence[Step]) -> Contestant:
    pipe = kedros(steps)

    def contestant() -> float:
        return timed(run_kedro(runner, pipe))

    return contestant


def our_seconds() -> float:
    """What a run by itself takes for the small grid of the comparison in processes."""
    return our_run(ParallelRunner(WORKERS), grid(WIDE, 3))()


def kedro_seconds(runner: str) -> float:
    """What Kedro takes for the small grid of the comparison in processes."""
    return _kedro(runner, grid(WIDE, 3))()


SMALL = "functions that add two integers, all in memory"

NEAR_DASK = Bar(1.35)
AS_DASK_ON_A_CLUSTER = Bar(1.3)
AS_AN_OPEN_POOL = Bar(1.35)
FAR_FROM_KEDRO = Bar(30, is_floor=True)
A_QUARTER_OF_KEDRO = Bar(4, is_floor=True)

BENCHMARKS = {
    "sequential": Benchmark(
        (Row("overhead, sequential", f"20 wide x 500 deep: {SMALL}", NEAR_DASK),), sequential
    ),
    "threads": Benchmark((Row("overhead, threads", "the same, 2 threads", NEAR_DASK),), threads),
    "processes": Benchmark(
        (
            Row("overhead, processes", "20 x 100, an open runner and an open pool of 2", AS_AN_OPEN_POOL),
            Row("overhead, processes", "the same, Dask giving six ready tasks to one worker"),
        ),
        processes,
    ),
    "cluster": Benchmark(
        (
            Row("overhead, cluster", "20 x 50, two workers; bare: Client.get", AS_DASK_ON_A_CLUSTER),
            Row("overhead, cluster", "20 x 250, two workers; bare: Client.get", AS_DASK_ON_A_CLUSTER),
        ),
        cluster,
    ),
    "kedro": Benchmark(
        (
            Row("against Kedro, sequential", "1,001 nodes; Kedro's time by ours", FAR_FROM_KEDRO),
            Row("against Kedro, threads", "1,001 nodes; Kedro's time by ours", FAR_FROM_KEDRO),
        ),
        kedro_in_one_process,
    ),
    "kedro-processes": Benchmark(
        (
            Row(
                "against Kedro, processes",
                "61 nodes, each run by itself in a new Python; Kedro's time by ours",
                A_QUARTER_OF_KEDRO,
            ),
            Row(
                "against Kedro, processes",
                "the same, ours in an open runner; Kedro starts processes in each run",
                FAR_FROM_KEDRO,
            ),
        ),
        kedro_in_processes,
    ),
}
