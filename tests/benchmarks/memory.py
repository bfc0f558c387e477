"""How much memory a chain of nodes with large arrays takes, counted in arrays: at the peak, beyond what was there before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.local
import dask.threaded

from penstock import DaskRunner, ParallelRunner, SequentialRunner, ThreadRunner
from tests.benchmarks.arrays import MEGABYTE, chain
from tests.benchmarks.fresh import called_fresh
from tests.benchmarks.overhead import two_workers
from tests.benchmarks.pools import WORKERS, get_in, loky_pool
from tests.benchmarks.table import Bar, Benchmark, Effort, Result, Row, shown
from tests.benchmarks.work import bare, catalog, ours

NODES = 14

STATUS = Path("/proc/self/status")

Run = Callable[[int, float], Any]
"""Runs a chain of so many nodes with arrays of so many megabytes each."""


def one_process(effort: Effort) -> list[Result]:
    return [_peaks(effort, "SequentialRunner", "get_sync"), _peaks(effort, "ThreadRunner", "get_in_threads")]


def several_processes(effort: Effort) -> list[Result]:
    return [
        # Two nodes show what the driver of bare Dask holds, and take half a minute less than fourteen.
        _peaks(effort, "ParallelRunner", "get_in_processes", bare_nodes=2),
        _peaks(effort, "DaskRunner", "get_on_cluster"),
    ]


def _peaks(effort: Effort, runner: str, get: str, bare_nodes: int = NODES) -> Result:
    size = effort.size(128, quick=1)
    mine = called_fresh("memory", "arrays_at_the_peak", runner, NODES, size)
    bares = called_fresh("memory", "arrays_at_the_peak", get, bare_nodes, size)
    if mine is None:
        return Result("no /proc")
    # A driver that holds nothing may take a few pages less than before.
    return Result(f"{shown(mine)} arrays", f"{shown(bares)} arrays", value=max(mine, 0.001))


def arrays_at_the_peak(name: str, nodes: int, megabytes: float) -> float | None:
    """How far the peak of this process grows, in arrays; None where the system does not say."""
    with RUNS[name]() as run:
        run(nodes, 0.001)
        before = peak_bytes()
        run(nodes, megabytes)
        after = peak_bytes()
    return None if before is None or after is None else (after - before) / (megabytes * MEGABYTE)


def peak_bytes() -> int | None:
    """The most memory that this process has ever had; `ru_maxrss` would begin with that of the parent."""
    if not STATUS.exists():
        return None
    found = re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text(encoding="utf-8"))
    return int(found[1]) * 1024 if found else None


@contextmanager
def _runner(runner: Any) -> Iterator[Run]:
    yield lambda nodes, size: runner.run(ours(chain(nodes)), catalog({"megabytes": size}))["first"].load()


@contextmanager
def _get(get: Callable[[dict[str, Any], str], Any]) -> Iterator[Run]:
    yield lambda nodes, size: get(*bare(chain(nodes), {"megabytes": size}))


@contextmanager
def _dask_runner() -> Iterator[Run]:
    with two_workers() as client, _runner(DaskRunner(client)) as run:
        yield run


@contextmanager
def _get_in_threads() -> Iterator[Run]:
    with (
        ThreadPoolExecutor(WORKERS) as pool,
        _get(lambda graph, key: dask.threaded.get(graph, key, pool=pool)) as run,
    ):
        yield run


@contextmanager
def _get_in_processes() -> Iterator[Run]:
    with loky_pool() as pool, _get(lambda graph, key: get_in(pool, graph, key)) as run:
        yield run


@contextmanager
def _get_on_cluster() -> Iterator[Run]:
    with two_workers() as client, _get(client.get) as run:
        yield run


RUNS = {
    "SequentialRunner": lambda: _runner(SequentialRunner()),
    "ThreadRunner": lambda: _runner(ThreadRunner(WORKERS)),
    "ParallelRunner": lambda: _runner(ParallelRunner(WORKERS)),
    "DaskRunner": _dask_runner,
    "get_sync": lambda: _get(dask.local.get_sync),
    "get_in_threads": _get_in_threads,
    "get_in_processes": _get_in_processes,
    "get_on_cluster": _get_on_cluster,
}

FEW = Bar(3.5, "arrays")
NOT_THROUGH_HERE = Bar(0.5, "arrays")

BENCHMARKS = {
    "memory": Benchmark(
        (
            Row("memory, sequential", "14 nodes with 128 MB each: the peak", FEW),
            Row("memory, threads", "the same", FEW),
        ),
        one_process,
    ),
    "memory-driver": Benchmark(
        (
            Row("memory, processes", "the same: the driver's peak (bare: 2 nodes)", NOT_THROUGH_HERE),
            Row("memory, cluster", "the same: the driver's peak", NOT_THROUGH_HERE),
        ),
        several_processes,
    ),
}
