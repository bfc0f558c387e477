"""How many bytes a graph has on its way to a cluster's scheduler, and a task on its way from there to a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from distributed.protocol import pickle

from penstock import DaskRunner
from penstock.runner.cluster.execution.exchange import with_sent_work
from tests.benchmarks.table import Bar, Benchmark, Effort, Result, Row, shown
from tests.benchmarks.work import add, bare, catalog, grid, ours

RUNNER = DaskRunner("tcp://127.0.0.1:8786")
"""It compiles for a cluster, and connects to none before something runs."""

SHARED_BYTES = 1_000_000


def wire(effort: Effort) -> list[Result]:
    steps = grid(20, effort.size(50, quick=5))
    mine, theirs = with_sent_work(RUNNER.plan(ours(steps), catalog()).graph), bare(steps)[0]
    return [
        _compared(_sent([mine]), _sent([theirs]), len(steps)),
        _compared(_sent(mine.values()), _sent(theirs.values()), len(steps)),
    ]


def shared(effort: Effort) -> list[Result]:
    steps = grid(20, effort.size(50, quick=5), add_with(bytes(SHARED_BYTES)))
    mine, theirs = with_sent_work(RUNNER.plan(ours(steps), catalog()).graph), bare(steps)[0]
    return [
        _times_sent(_sent([mine]), _sent([theirs])),
        _times_sent(_sent(mine.values()), _sent(theirs.values())),
    ]


def add_with(table: bytes) -> Callable[[int, int], int]:
    """A function with a table in its closure."""

    def add_and_look_up(left: int, right: int) -> int:
        return add(left, right) + table[left % len(table)]

    return add_and_look_up


def _sent(messages: Iterable[Any]) -> int:
    """The bytes of messages, each pickled as `distributed` does it."""
    return sum(_bytes(message) for message in messages)


def _bytes(message: Any) -> int:
    frames: list[Any] = []
    pickled = pickle.dumps(message, buffer_callback=lambda buffer: frames.append(buffer.raw()))
    return len(pickled) + sum(frame.nbytes for frame in frames)


def _compared(mine: int, theirs: int, nodes: int) -> Result:
    cells = (f"{shown(sent / nodes)} bytes a node" for sent in (mine, theirs))
    return Result(*cells, value=mine / theirs)


def _times_sent(mine: int, theirs: int) -> Result:
    times = [sent / SHARED_BYTES for sent in (mine, theirs)]
    return Result(*(f"{shown(each)} MB" for each in times), value=times[0])


BENCHMARKS = {
    "wire": Benchmark(
        (
            Row("graph on the wire", "1,001 nodes to the scheduler", Bar(1.5)),
            Row("graph on the wire", "the same, task by task on to the workers"),
        ),
        wire,
    ),
    "wire-shared": Benchmark(
        (
            Row("graph on the wire", "1,001 nodes sharing 1 MB, to the scheduler", Bar(1.5, "times sent")),
            Row("graph on the wire", "the same, task by task on to the workers"),
        ),
        shared,
    ),
}
