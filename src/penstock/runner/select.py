"""Selects a runner for a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.runner.sequential import SequentialRunner
from penstock.runner.threads import ThreadRunner

if TYPE_CHECKING:
    from penstock._typing import PipelineLike
    from penstock.runner.abstract import AbstractRunner

MAX_PROCESSES = 4
MAX_THREADS = 2


def select_runner(pipeline: PipelineLike, max_parallel_nodes: int = 4) -> AbstractRunner:
    """A runner that suits a pipeline, by how many of its nodes can start at once.

    Args:
        pipeline: The pipeline to run.
        max_parallel_nodes: With at least this many such nodes, a `ParallelRunner` with at most 4 processes.

    Returns:
        With fewer, but at least two such nodes, a `ThreadRunner` with 2 threads; otherwise a `SequentialRunner`.

    Example:
        >>> from penstock import select_runner
        >>> from penstock.pipeline import node, pipeline
        >>> nodes = [node(len, "text", "length", name="count"), node(str.upper, "text", "loud", name="shout")]
        >>> select_runner(pipeline(nodes))
        penstock.runner.threads.ThreadRunner(max_workers=2)
    """
    layers = pipeline.grouped_nodes
    free = len(layers[0]) if layers else 0
    if free >= max_parallel_nodes:
        # Imported here, since `import penstock` would take a tenth longer with it.
        from penstock.runner.processes import ParallelRunner  # noqa: PLC0415

        return ParallelRunner(max_workers=min(MAX_PROCESSES, max(free, 1)))
    if free >= MAX_THREADS:
        return ThreadRunner(max_workers=MAX_THREADS)
    return SequentialRunner()
