"""The runner on Dask's threaded scheduler, with its pool of threads. What runs in them is in `tasks`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dask.threaded

from penstock.runner.abstract import AbstractRunner
from penstock.runner.threads.executors import ThreadPool
from penstock.runner.worker_count import checked_workers, useful_workers
from penstock.runs.result import Fetched

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.graph.plan import Plan
    from penstock.graph.policies import Policies
    from penstock.io.memory import Deferred
    from penstock.tasks.backend import Backend

__all__ = ["ThreadRunner"]


class ThreadRunner(AbstractRunner):
    """Runs nodes in threads of this process: for nodes that wait for files or networks, or that compute outside of Python.

    Args:
        max_workers: The number of threads; by default one for each processor. No more start than nodes can run at once.
        is_async: Ignored, with a warning: loads and saves are tasks, which run in threads anyway.
        policies: How nodes run: a `NodePolicy`, or a dict of its fields, by the name of a node, a namespace or a tag.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        RunnerError: `max_workers` is no whole number, or below 1.

    Example:
        >>> from penstock import DataCatalog, ThreadRunner
        >>> from penstock.pipeline import node, pipeline
        >>> nodes = [node(len, "text", "length", name="count"), node(str.upper, "text", "loud", name="shout")]
        >>> result = ThreadRunner(max_workers=2).run(pipeline(nodes), DataCatalog({"text": "penstock"}))
        >>> result["length"].load(), result["loud"].load()
        (8, 'PENSTOCK')
    """

    _is_synchronous = False

    def __init__(
        self,
        max_workers: int | None = None,
        is_async: bool = False,  # noqa: FBT001, FBT002 - the contract: usable positionally
        *,
        policies: Policies | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(is_async, policies=policies, progress=progress)
        if is_async:
            warnings.warn("ThreadRunner loads and saves in threads anyway; is_async is ignored", stacklevel=2)
            self.is_async = False
        self.max_workers = checked_workers(max_workers)

    def get(self, graph: Mapping[str, Any], keys: Sequence[str]) -> Sequence[Data]:
        """The values of `keys`, in their order. When this returns or raises, no task runs any more.

        Args:
            graph: A Dask graph.
            keys: Keys of the graph.
        """
        return self._get(graph, keys, self.max_workers, lambda: None)

    def execute(self, plan: Plan, backend: Backend) -> list[Deferred]:
        """The values of the plan's keys. When this returns or raises, no task runs any more.

        Args:
            plan: What to run.
            backend: Stopped when a task fails, so that no other is tried again.
        """
        workers = useful_workers(self.max_workers, plan)
        values = self._get(plan.graph, plan.keys, workers, backend.stop)
        return [Fetched(value) for value in values]

    def _get(
        self, graph: Mapping[str, Any], keys: Sequence[str], workers: int, stop: Callable[[], None]
    ) -> Sequence[Data]:
        # Dask returns at the first error while other tasks still run; closing the pool waits for them.
        with contextlib.closing(ThreadPool(workers)) as pool:
            try:
                values: Sequence[Data] = dask.threaded.get(dict(graph), list(keys), pool=pool)
            except BaseException as error:
                stop()
                if not isinstance(error, Exception):
                    self._log.warning(
                        "Interrupted: waiting for the running nodes to finish, since threads cannot be stopped"
                    )
                raise
        return values

    def _arguments(self) -> dict[str, Any]:
        return {"max_workers": self.max_workers, **super()._arguments()}
