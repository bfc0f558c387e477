"""Dask's multiprocessing scheduler with the kind of pool that our runner has, so that only what we add differs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import dask.multiprocessing
import loky

WORKERS = 2


@contextlib.contextmanager
def loky_pool() -> Iterator[loky.ProcessPoolExecutor]:
    """Processes as ours, with the settings of ours."""
    settings = {"PYTHONHASHSEED": "0", "LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}
    pool = loky.ProcessPoolExecutor(WORKERS, timeout=60, env=settings)
    try:
        yield pool
    finally:
        pool.shutdown(kill_workers=True)


def get_in(
    pool: loky.ProcessPoolExecutor, graph: Mapping[str, Any], key: str, *, one_at_a_time: bool = True
) -> Any:
    """The value of a key.

    Args:
        pool: Runs the tasks.
        graph: A Dask graph.
        key: What to compute.
        one_at_a_time: Without it, Dask gives up to six ready tasks to one worker, and two long ones wait for each other;
            and a chain of tasks becomes one.
    """
    settings = {"chunksize": 1, "optimize_graph": False} if one_at_a_time else {}
    return dask.multiprocessing.get(dict(graph), key, pool=pool, **settings)
