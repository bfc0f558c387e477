"""A worker process that starts while Kedro still imports the project's pipelines.

`kedro run` makes its runner, and then reads the configuration and imports all pipelines, in one process. In most projects that takes
longer than anything else before the first node. A process that does the same beside it is ready when the run begins.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import sys
import threading
from concurrent.futures import BrokenExecutor, Future
from typing import TYPE_CHECKING

from penstock.runner.processes.pool import WorkerPool, changed_environment, import_path

if TYPE_CHECKING:
    from penstock.kedro.project import Project
    from penstock.runner.processes.pool import Setup

MAX_SECONDS = 60.0
"""The process ends if no run has begun after this time."""


class EarlyWorker:
    """One process, for the first run of a runner; none if the project's pipelines are imported already, or without a project.

    It is one, however many a run can use: how many that are is not known before the pipelines are.

    Args:
        project: What the process enters.
        max_workers: The number of processes that the run may use.
    """

    def __init__(self, project: Project | None, max_workers: int) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._pool: WorkerPool | None = None
        if project is not None and f"{project.package}.pipeline_registry" not in sys.modules:
            # A process that cannot start is an error of the run, and not of making a runner.
            with contextlib.suppress(Exception):
                self._start(project, max_workers)

    def __reduce__(self) -> tuple[type[EarlyWorker], tuple[None, int]]:
        return EarlyWorker, (None, 1)

    def _start(self, project: Project, max_workers: int) -> None:
        self._pool = WorkerPool(max_workers, project, starts=1)
        self._state = self._pool.executor.submit(_state_after_imports, project.package)
        timer = threading.Timer(MAX_SECONDS, self.close)
        timer.daemon = True
        timer.start()

    def take(self, workers: int, setup: Setup) -> WorkerPool | None:
        """The process, with others that start now, for a run that begins. It is not given twice, and the caller closes it.

        Args:
            workers: The number of processes.
            setup: What each process calls first, if it starts now.

        Returns:
            None if there is none, or if a process that starts now would have other code or other environment variables.
        """
        pool = self._taken()
        if pool is not None and pool.setup == setup:
            with contextlib.suppress(BrokenExecutor), contextlib.ExitStack() as unless_it_is_used:
                unless_it_is_used.callback(pool.close)
                pool.start_others(workers)
                if _is_drivers_state(self._state):
                    unless_it_is_used.pop_all()
                    return pool
        elif pool is not None:
            pool.close()
        return None

    def close(self) -> None:
        """End the process, unless a run has taken it."""
        pool = self._taken()
        if pool is not None:
            pool.close()

    def _taken(self) -> WorkerPool | None:
        with self._lock:
            pool, self._pool = self._pool, None
        # A fork of the driver neither uses nor ends what belongs to its parent.
        return pool if self._process == os.getpid() else None


_State = tuple[dict[str, str], set[str]]
"""Environment variables, and the entries of `sys.path`."""


def _state_after_imports(package: str) -> _State:
    """Called in the process: import what Kedro imports of a project's pipelines, and say what that has left behind.

    What cannot be imported is not said here: the driver imports it as well.
    """
    with contextlib.suppress(Exception):
        importlib.import_module(f"{package}.pipeline_registry")
    with contextlib.suppress(Exception):
        pipelines = importlib.import_module(f"{package}.pipelines")
        for module in pkgutil.iter_modules(pipelines.__path__, f"{package}.pipelines."):
            with contextlib.suppress(Exception):
                importlib.import_module(module.name)
    return dict(os.environ), set(sys.path)


def _is_drivers_state(state: Future[_State]) -> bool:
    """Whether the process has imported its modules with the environment variables and the import path that the driver has now.

    A hook may have set variables, which the modules read when they are imported.
    """
    now = {**os.environ, **changed_environment()}, set(import_path())
    return state.exception() is None and state.result() == now
