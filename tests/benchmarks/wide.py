"""What a node costs on a cluster among many that run side by side, each of which loads and saves a dataset of its own.

Dask's scheduler goes through the prefixes of the tasks that a worker has to do, so names are not free there.
"""

from __future__ import annotations

import secrets
from statistics import median
from typing import TYPE_CHECKING, Any

from dask.task_spec import Task, TaskRef

from penstock import DaskRunner, DataCatalog
from penstock.io import AbstractDataset
from penstock.pipeline import node, pipeline
from tests.benchmarks.overhead import two_workers
from tests.benchmarks.table import Bar, Benchmark, Effort, Result, Row, per_node
from tests.benchmarks.timing import Contestant, in_turn, ratio, timed

if TYPE_CHECKING:
    from distributed import Client


class Stored(AbstractDataset):
    """A dataset that is outside of the run, and takes no time to load and save."""

    def load(self) -> int:
        return 1

    def save(self, data: int) -> None:
        assert data == 2

    def _describe(self) -> dict[str, Any]:
        return {}


def add_one(number: int) -> int:
    return number + 1


def our_run(client: Client, nodes: int) -> Contestant:
    """A whole run. The pipeline is built before."""
    names = [(f"raw_{number}", f"clean_{number}") for number in range(nodes)]
    pipe = pipeline([node(add_one, raw, clean, name=f"clean_{raw}") for raw, clean in names])

    def run() -> None:
        DaskRunner(client).run(pipe, DataCatalog({name: Stored() for pair in names for name in pair}))

    return lambda: timed(run)


def bare_run(client: Client, nodes: int) -> Contestant:
    """The same three tasks a node, with a prefix for loads, one for nodes and one for saves."""

    def run() -> None:
        run_id, graph = secrets.token_hex(4), {}
        for number in range(nodes):
            load, call, save = (f"{kind}-{run_id}-{number}" for kind in ("load", "add_one", "save"))
            graph[load] = Task(load, Stored().load)
            graph[call] = Task(call, add_one, TaskRef(load))
            graph[save] = Task(save, Stored().save, TaskRef(call))
        client.get(graph, [key for key in graph if key.startswith("save")])

    return lambda: timed(run)


def wide(effort: Effort) -> list[Result]:
    sizes = ((500, 3, 1), (3_000, 1, 0))
    with two_workers() as client:
        return [
            _compared(client, effort.size(nodes, quick=20), effort.rounds(rounds), warm_ups)
            for nodes, rounds, warm_ups in sizes
        ]


def _compared(client: Client, nodes: int, rounds: int, warm_ups: int) -> Result:
    contestants = {"ours": our_run(client, nodes), "bare": bare_run(client, nodes)}
    taken = in_turn(contestants, rounds, warm_ups)
    cells = {name: per_node(median(times), nodes) for name, times in taken.items()}
    return Result(**cells, value=ratio(taken["ours"], taken["bare"]))


AS_DASK_WITH_FEW_NAMES = Bar(1.4)

BENCHMARKS = {
    "wide": Benchmark(
        (
            Row(
                "wide, cluster",
                "500 nodes side by side that load and save; bare: the same tasks under three names",
                AS_DASK_WITH_FEW_NAMES,
            ),
            Row("wide, cluster", "3,000 such nodes", AS_DASK_WITH_FEW_NAMES),
        ),
        wide,
    )
}
