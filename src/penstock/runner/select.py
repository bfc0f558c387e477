"""Which runner suits a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.runner.processes import ParallelRunner
from penstock.runner.sequential import SequentialRunner
from penstock.runner.threads import ThreadRunner

if TYPE_CHECKING:
    from penstock._typing import PipelineLike
    from penstock.runner.abstract import AbstractRunner

MAX_PROCESSES = 4
MAX_THREADS = 2


def select_runner(pipeline: PipelineLike, max_parallel_nodes: int = 4) -> AbstractRunner:
    """A runner for this machine, chosen by how many nodes of the pipeline wait for nobody.

    Args:
        pipeline: What is to be run.
        max_parallel_nodes: From so many such nodes on, processes (at most 4); from two on, threads (at most 2).
    """
    layers = pipeline.grouped_nodes
    free = len(layers[0]) if layers else 0
    if free >= max_parallel_nodes:
        return ParallelRunner(max_workers=min(MAX_PROCESSES, max(free, 1)))
    if free >= MAX_THREADS:
        return ThreadRunner(max_workers=MAX_THREADS)
    return SequentialRunner()
