"""Runs leave nothing behind in an open runner: no memory, no open file, no thread, no key on a scheduler."""

from __future__ import annotations

import os
import time

import psutil
import pytest

from penstock import DaskRunner, DataCatalog, ParallelRunner, PickleDataset, SequentialRunner, ThreadRunner
from penstock.pipeline import node, pipeline
from tests.soak import TIMES

pytestmark = [pytest.mark.soak, pytest.mark.newest, pytest.mark.timeout(120 * TIMES)]

RUNS = 40 * TIMES
MEGABYTE = 1_000_000

MOST_MEMORY = 20 * MEGABYTE
"""Half of what the nodes of 40 runs hand over. What is measured less often than that is Python's and the allocator's."""
MEMORY_A_RUN = 10_000
"""A run may add this: measured were 6 kB in this process, less in workers."""
DASK_A_RUN = 90_000
"""And this in the process of a scheduler, measured were 50 kB: its profiles, spans and last 100 computations, none of them Penstock's."""
MOST_FILES = 5
MOST_THREADS = 3


def make(number):
    return bytes([number % 250]) * MEGABYTE


def first(data):
    return data[0]


PIPELINE = pipeline(
    [
        node(make, "number", "large", name="make"),
        node(first, "large", "first", name="first"),
        node(lambda large: large, "large", "stored", name="store"),
    ]
)


def run_often(runner, folder, runs):
    catalog = DataCatalog({"stored": PickleDataset(folder / "stored.pkl")})
    for number in range(runs):
        catalog["number"] = number
        assert runner.run(PIPELINE, catalog)["first"].load() == number % 250


def grown(runner, folder, processes):
    """How much more memory, files and threads each process has after many runs than after a few."""
    run_often(runner, folder, 10)
    before = [_figures(each) for each in processes]
    run_often(runner, folder, RUNS)
    return [
        tuple(now - then for now, then in zip(_figures(each), figures, strict=True))
        for each, figures in zip(processes, before, strict=True)
    ]


def _figures(process):
    found = psutil.Process(process)
    return found.memory_info().rss, found.num_fds(), found.num_threads()


def assert_nothing_is_left(figures, dask_a_run=0):
    """Check the figures of each process. The first is this one, to which Dask may add so many bytes a run."""
    print(f"after {RUNS} runs, more than after 10: {figures}")  # noqa: T201 - the figures of a soak
    for number, (memory, files, threads) in enumerate(figures):
        assert memory < MOST_MEMORY + RUNS * (MEMORY_A_RUN + (dask_a_run if number == 0 else 0))
        assert files <= MOST_FILES
        assert threads <= MOST_THREADS


@pytest.mark.parametrize("runner", [SequentialRunner(), ThreadRunner(2)])
def test_in_this_process(runner, tmp_path):
    assert_nothing_is_left(grown(runner, tmp_path, [os.getpid()]))


def test_in_processes(tmp_path):
    others = {each.pid for each in psutil.Process().children()}
    # One process, since of two one may get its first task, for which it imports much, when the figures before were taken.
    with ParallelRunner(1) as runner:
        workers = {each.pid for each in psutil.Process().children()} - others

        assert_nothing_is_left(grown(runner, tmp_path, [os.getpid(), *workers]))


@pytest.mark.cluster
def test_on_a_cluster(client, tmp_path):
    workers = client.run(os.getpid).values()

    assert_nothing_is_left(grown(DaskRunner(client), tmp_path, [os.getpid(), *workers]), DASK_A_RUN)

    deadline = time.monotonic() + 60
    # The last messages that drop results are on their way.
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
