"""The runner on Dask's multiprocessing scheduler.

Here is what starts and ends worker processes, and what travels between them and the driver. What a task does is in `tasks`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dask.multiprocessing

from penstock.graph.taskspec import data_of, new_data, node_names
from penstock.runner.abstract import AbstractRunner
from penstock.runner.lifetime import log_what_opening_saves
from penstock.runner.processes.backend import ProcessBackend
from penstock.runner.processes.exchange import DriverExchange
from penstock.runner.processes.logs import reading_logs
from penstock.runner.processes.pool import KeptPool, Setup, WorkerPool, running_in
from penstock.runner.processes.shared_memory import new_run_folder
from penstock.runner.processes.together import HandOuts
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

    Nodes, datasets and plugins are pickled with cloudpickle, so lambdas, closures and functions typed in a notebook run. A
    script needs no `__main__` guard. Values go from process to process through shared memory and not through this one.

    A run starts its processes and ends them: they have the modules, the environment variables and the working folder that this
    process has when the run begins. An open runner keeps them for all runs inside its block, which saves the time to start
    them, some 0.5 s a run. Then, as with any pool, modules are as they were when a process imported them, and environment
    variables as they were when the runner was opened; the working folder is the one that this process has when a run begins.
    A process that was killed is replaced when the next run begins.

    Args:
        max_workers: The number of processes; by default one for each processor. A run by itself starts no more than it has nodes
            that can run at once.
        is_async: Each node loads its inputs at the same time and saves its outputs at the same time, in threads of its process.
        policies: How nodes run: a `NodePolicy`, or a dict of its fields, by the name of a node, a namespace or a tag.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        RunnerError: `max_workers` is below 1.

    Example:
        >>> from penstock import DataCatalog, ParallelRunner
        >>> from penstock.pipeline import node, pipeline
        >>> double = pipeline([node(lambda x: 2 * x, "x", "y", name="double")])
        >>> with ParallelRunner(1) as runner:
        ...     [runner.run(double, DataCatalog({"x": x}))["y"].load() for x in (1, 2)]
        [2, 4]
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
        """The values of `keys`, in their order. When this returns or raises, no task of the graph runs any more.

        Args:
            graph: A Dask graph.
            keys: Keys of the graph.

        Raises:
            RunnerError: The runner is closed, or was opened in the process that this one was forked from.
            NodeError: A worker process was killed.
        """
        return self._compute(graph, keys, self.max_workers, ProcessBackend())

    def worker_setup(self) -> Callable[[], None] | None:
        """The function that each process calls before its first task. A subclass overrides it.

        Returns:
            A function that can be pickled; None to call nothing.

        Example:
            >>> import faulthandler
            >>> from penstock import ParallelRunner
            >>> class MyRunner(ParallelRunner):
            ...     def worker_setup(self):
            ...         return faulthandler.enable
        """
        return None

    def backend(self, listener: Listener | None = None) -> Backend:
        """What tasks ask of the scheduler.

        Args:
            listener: Called in this process with the events of each task, when its result arrives.
        """
        return ProcessBackend(listener)

    def execute(self, plan: Plan, backend: Backend) -> list[Deferred]:
        """The values of the plan's keys.

        Args:
            plan: What to run.
            backend: The one that `backend` made for this run.
        """
        workers = useful_workers(self.max_workers, plan)
        return [Fetched(value) for value in self._compute(plan.graph, plan.keys, workers, backend)]

    def _compute(
        self, graph: Mapping[str, Any], keys: Sequence[str], workers: int, backend: Backend
    ) -> list[Data]:
        with new_run_folder() as folder, reading_logs(folder.log_folder) as logs, self._pool(workers) as pool:
            if isinstance(backend, ProcessBackend):
                backend.mark_as_stopped = logs.mark_as_stopped
            exchange = DriverExchange(folder, backend.listener, logs, HandOuts(graph, keys))
            # The graph's own data is written once for all its readers.
            shared = {key: new_data(key, exchange.shared(key, data)) for key, data in data_of(graph).items()}
            with running_in(pool, workers, exchange) as executor:
                try:
                    handles = dask.multiprocessing.get(
                        {**graph, **shared},
                        list(keys),
                        pool=executor,
                        # One task to a worker at a time: by default Dask gives six ready tasks to one worker.
                        chunksize=1,
                        optimize_graph=False,
                        func_dumps=exchange.dumps,
                        func_loads=exchange.loads,
                    )
                except BaseException:
                    backend.begun.update(node_names(graph, executor.unfinished_keys()))
                    backend.stop()
                    raise
            return [handle.open() for handle in handles]

    @contextlib.contextmanager
    def _pool(self, workers: int) -> Iterator[WorkerPool]:
        """The processes for one run: those of the open runner, or new ones that end with the run."""
        setup = self.worker_setup()
        kept: KeptPool | None = self._kept()
        if kept is not None:
            with kept.used(setup) as pool:
                yield pool
            return
        with contextlib.closing(self._new_pool(workers, setup)) as pool:
            yield pool
        log_what_opening_saves(self._log, type(self).__name__, "processes", pool.start_seconds)

    def _new_pool(self, workers: int, setup: Setup) -> WorkerPool:
        return WorkerPool(workers, setup)

    def _start_kept(self, stack: contextlib.ExitStack) -> KeptPool:
        return stack.enter_context(contextlib.closing(KeptPool(self.max_workers, self.worker_setup())))

    def _arguments(self) -> dict[str, Any]:
        return {"max_workers": self.max_workers, **super()._arguments()}
