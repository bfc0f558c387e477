"""The runner on Dask's multiprocessing scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dask.multiprocessing

from penstock.graph.taskspec import is_data, with_value
from penstock.runner.abstract import AbstractRunner
from penstock.runner.processes.backend import ProcessBackend
from penstock.runner.processes.exchange import DriverEnd
from penstock.runner.processes.logs import heard
from penstock.runner.processes.pool import leased
from penstock.runner.processes.shared_memory import new_room
from penstock.runner.worker_count import checked_workers, useful_workers
from penstock.runs.result import Fetched

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.graph.plan import Plan
    from penstock.graph.policies import Policies
    from penstock.io.memory import Deferred
    from penstock.tasks.backend import Backend, Listener

__all__ = ["ParallelRunner"]


class ParallelRunner(AbstractRunner):
    """Runs nodes in processes of this machine: for nodes that compute in Python.

    Nodes, datasets and plugins are pickled with cloudpickle, so lambdas, closures and what was typed in a notebook run. A
    script needs no `__main__` guard. Values go from process to process through shared memory and not through this one. The
    processes are kept for the next run for half a minute, unless the file of a module that is loaded here was changed.

    Args:
        max_workers: Processes; by default one a processor. No more are used than nodes can run at once.
        is_async: Each node loads its inputs at once and saves its outputs at once, in threads of its process.
        policies: How nodes are run, by their names, namespaces or tags.
        progress: Show a bar, on a terminal or in a notebook.

    Raises:
        RunnerError: `max_workers` is below 1.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        is_async: bool = False,  # noqa: FBT001, FBT002 - the contract: usable positionally
        *,
        policies: Policies | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(is_async, policies=policies, progress=progress)
        self.max_workers = checked_workers(max_workers)

    def get(self, graph: Mapping[str, Any], keys: Sequence[str]) -> Sequence[Data]:
        """The values of `keys`; when this raises, no task runs any more.

        Raises:
            NodeError: A worker process was killed.
        """
        return _get(graph, keys, self.max_workers, setup=self.worker_setup())

    def worker_setup(self) -> Callable[[], None] | None:
        """What each process calls before it opens anything of a run; None for nothing."""
        return None

    def backend(self, listener: Listener | None = None) -> Backend:
        """Pickles, and news that rides home with each result."""
        return ProcessBackend(listener)

    def execute(self, plan: Plan, backend: Backend) -> list[Deferred]:
        """The values of the plan's keys."""
        workers = useful_workers(self.max_workers, plan)
        values = _get(plan.graph, plan.keys, workers, backend.listener, self.worker_setup())
        return [Fetched(value) for value in values]

    def _arguments(self) -> dict[str, Any]:
        return {"max_workers": self.max_workers, **super()._arguments()}


def _get(
    graph: Mapping[str, Any],
    keys: Sequence[str],
    workers: int,
    listener: Listener | None = None,
    setup: Callable[[], None] | None = None,
) -> list[Data]:
    with new_room() as room, heard(room.log_folder()) as hearing, leased(workers, setup) as lease:
        end = DriverEnd(room, listener, hearing)
        try:
            handles = dask.multiprocessing.get(
                {key: _shared(task, end) for key, task in graph.items()},
                list(keys),
                pool=lease,
                # One task to a worker at a time: by default Dask gives six ready tasks to one worker.
                chunksize=1,
                optimize_graph=False,
                func_dumps=end.dumps,
                func_loads=end.loads,
            )
        except BaseException:
            hearing.end()
            raise
        return [handle.open() for handle in handles]


def _shared(task: Any, end: DriverEnd) -> Any:
    """A task as it is; data of the graph is written once for all its readers."""
    return with_value(task, end.shared(task.value)) if is_data(task) else task
