"""The runner on Dask's threaded scheduler."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dask.threaded

from penstock.runner.abstract import AbstractRunner
from penstock.runner.outputs import Fetched
from penstock.runner.threads.executors import threads
from penstock.runner.worker_count import checked_workers, useful_workers

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.graph.plan import Plan
    from penstock.graph.policies import Policies
    from penstock.io.memory import Deferred
    from penstock.tasks.backend import Backend

__all__ = ["ThreadRunner"]


class ThreadRunner(AbstractRunner):
    """Runs nodes in threads of this process: for nodes that wait, or that compute outside of Python.

    Args:
        max_workers: Threads; by default one a processor. No more are started than nodes can run at once.
        is_async: Warned about and ignored: loads and saves are tasks, which run in threads anyway.
        policies: How nodes are run, by their names, namespaces or tags.
        progress: Show a bar, on a terminal or in a notebook.

    Raises:
        RunnerError: `max_workers` is below 1.
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
        """The values of `keys`; when this raises, no task runs any more."""
        return self._get(graph, keys, self.max_workers)

    def execute(self, plan: Plan, backend: Backend) -> list[Deferred]:
        """The values of the plan's keys."""
        workers = useful_workers(self.max_workers, plan)
        values = self._get(plan.graph, plan.keys, workers, backend.stop)
        return [Fetched(value) for value in values]

    def _get(
        self,
        graph: Mapping[str, Any],
        keys: Sequence[str],
        workers: int,
        end: Callable[[], None] | None = None,
    ) -> Sequence[Data]:
        # Dask returns at the first error while other tasks run on; leaving the pool waits for them.
        with threads(workers) as pool:
            try:
                values: Sequence[Data] = dask.threaded.get(dict(graph), list(keys), pool=pool)
            except BaseException as error:
                if end is not None:
                    end()
                if not isinstance(error, Exception):
                    self._log.warning(
                        "Interrupted: waiting for the nodes that run, since nobody can stop a thread"
                    )
                raise
        return values

    def _arguments(self) -> dict[str, Any]:
        return {"max_workers": self.max_workers, **super()._arguments()}
