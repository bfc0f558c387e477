"""Whether a node costs more where there are many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import dask.local

from penstock import SequentialRunner
from tests.benchmarks.table import Bar, Benchmark, Effort, Result, Row, per_node, seconds
from tests.benchmarks.timing import Contestant, in_turn, ratio, timed
from tests.benchmarks.work import LAST, Step, bare, catalog, grid, ours

WIDE = 20

RUNNER = SequentialRunner()


def growth(effort: Effort) -> list[Result]:
    few, many = grid(WIDE, effort.size(50, quick=5)), grid(WIDE, effort.size(2_500, quick=10))
    mine = {"few": ours(few), "many": ours(many)}
    steps = {"few": few, "many": many}

    def both(work: Any, rounds: int) -> dict[str, list[float]]:
        """What a node costs in each of the two."""
        contestants = {name: _each(work, name, len(steps[name])) for name in steps}
        return in_turn(contestants, effort.rounds(rounds), warm_ups=0)

    def bare_get(name: str) -> float:
        return timed(lambda: dask.local.get_sync(*bare(steps[name])), time.process_time)

    building = both(lambda name: timed(lambda: ours(steps[name]), time.process_time), 2)
    compiling = both(lambda name: _compiled(mine[name]), 2)
    running = both(lambda name: _run(mine[name]), 2)
    bare_building = both(lambda name: timed(lambda: bare(steps[name]), time.process_time), 1)
    bare_running = both(bare_get, 1)
    return [
        _grown(building),
        _grown(compiling, bare_building),
        _grown(running, bare_running),
        _finished(effort),
    ]


def _each(work: Any, name: str, nodes: int) -> Contestant:
    return lambda: work(name) / nodes


def _compiled(pipe: Any) -> float:
    data = catalog()
    return timed(lambda: RUNNER.plan(pipe, data), time.process_time)


def _run(pipe: Any) -> float:
    data = catalog()
    return timed(lambda: RUNNER.run(pipe, data), time.process_time)


def _grown(mine: dict[str, list[float]], bares: dict[str, list[float]] | None = None) -> Result:
    return Result(_told(mine), _told(bares) if bares else "", value=ratio(mine["many"], mine["few"]))


def _told(costs: dict[str, list[float]]) -> str:
    return f"{seconds(median(costs['few']))} to {per_node(median(costs['many']), 1)}"


def _finished(effort: Effort) -> Result:
    """All of a very large one: built, compiled and run."""
    steps = grid(WIDE, effort.size(5_000, quick=10))
    value: list[int] = []

    def whole() -> None:
        value.append(RUNNER.run(ours(steps), catalog())[LAST].load())

    mine = timed(whole, time.process_time)
    bare_seconds = timed(lambda: value.append(_bare_value(steps)), time.process_time)
    is_finished = value[0] == value[1]
    return Result(seconds(mine), seconds(bare_seconds), value=100.0 if is_finished else 0.0)


def _bare_value(steps: Sequence[Step]) -> int:
    value: int = dask.local.get_sync(*bare(steps))
    return value


FLAT = Bar(1.5)

BENCHMARKS = {
    "growth": Benchmark(
        (
            Row("growth, building the pipeline", "a node of 50,001 by one of 1,001", FLAT),
            Row("growth, compiling", "a node of 50,001 by one of 1,001", FLAT),
            Row("growth, running", "a node of 50,001 by one of 1,001, sequential", FLAT),
            Row(
                "growth, the whole", "100,001 nodes: built, compiled, run", Bar(100, "% done", is_floor=True)
            ),
        ),
        growth,
    )
}
