"""The work of the benchmarks, described once and made into our pipeline, a bare Dask graph, and Kedro's pipeline.

The bare graph is what one would write by hand: one task a node, and no catalog. Its keys are as long as ours, so that bytes
can be compared.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dask.task_spec import Task, TaskRef

from penstock import DataCatalog
from penstock.pipeline import Pipeline, node, pipeline

MODULUS = 1_000_003

HAS_KEDRO = importlib.util.find_spec("kedro") is not None

FREE = {"left": 1, "right": 2}
"""The free inputs of a grid."""

LAST = "total"
"""The output of a grid."""


def add(left: int, right: int) -> int:
    """The sum, kept as small as the numbers that it is made of."""
    return (left + right) % MODULUS


def total(*values: int) -> int:
    return sum(values) % MODULUS


@dataclass(frozen=True)
class Step:
    """One node: a function with the names of what it takes and gives."""

    function: Callable[..., Any]
    inputs: tuple[str, ...]
    output: str


def grid(wide: int, deep: int, function: Callable[[int, int], int] = add) -> list[Step]:
    """Layers of nodes, each of which takes two of the layer before, and one node that adds up the last layer."""
    steps = []
    for layer in range(deep):
        for column in range(wide):
            before = [f"sum_{layer - 1}_{(column + shift) % wide}" for shift in (0, 1)]
            steps.append(Step(function, tuple(before if layer else FREE), f"sum_{layer}_{column}"))
    return [*steps, Step(total, tuple(f"sum_{deep - 1}_{column}" for column in range(wide)), LAST)]


def ours(steps: Sequence[Step]) -> Pipeline:
    return pipeline([node(step.function, list(step.inputs), step.output, name=step.output) for step in steps])


def catalog(free: Mapping[str, Any] = FREE) -> DataCatalog:
    return DataCatalog(dict(free))


def bare(steps: Sequence[Step], free: Mapping[str, Any] = FREE) -> tuple[dict[str, Task], str]:
    """A graph, and the key of its last task."""
    run, keys, graph = secrets.token_hex(4), {}, {}
    for index, step in enumerate(steps):
        key = keys[step.output] = f"({step.output}-{run}-{index})"
        arguments = (TaskRef(keys[name]) if name in keys else free[name] for name in step.inputs)
        graph[key] = Task(key, step.function, *arguments)
    return graph, key


def kedros(steps: Sequence[Step]) -> Any:
    kedro_pipeline = _of_kedro("pipeline")
    nodes = [
        kedro_pipeline.node(step.function, list(step.inputs), step.output, name=step.output) for step in steps
    ]
    return kedro_pipeline.pipeline(nodes)


def run_kedro(runner: str, pipe: Any, free: Mapping[str, Any] = FREE) -> Callable[[], Any]:
    """A run of Kedro's to be called: its own runner, catalog and datasets."""
    io, runners = _of_kedro("io"), _of_kedro("runner")
    is_parallel = runner == "ParallelRunner"
    catalog_class = io.SharedMemoryDataCatalog if is_parallel else io.DataCatalog
    data = catalog_class({name: io.MemoryDataset(value) for name, value in free.items()})
    arguments = {} if runner == "SequentialRunner" else {"max_workers": 2}
    run = getattr(runners, runner)(**arguments).run

    def output() -> Any:
        (dataset,) = run(pipe, data).values()
        return dataset.load()

    return output


def _of_kedro(package: str) -> Any:
    """A package of Kedro's, which logs warnings only, as ours does."""
    # On import it sets the level of its root, and says so.
    logging.getLogger("kedro.framework.project").setLevel(logging.WARNING)
    module = importlib.import_module(f"kedro.{package}")
    logging.getLogger("kedro").setLevel(logging.WARNING)
    return module
