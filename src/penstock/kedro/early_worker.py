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
from concurrent.futures import BrokenExecutor
from functools import partial
from typing import TYPE_CHECKING

from penstock.runner.processes.pool import WorkerPool, changed_environment, import_path

if TYPE_CHECKING:
    from penstock.kedro.project import Project
    from penstock.runner.processes.pool import Setup

MAX_SECONDS = 60.0
"""The process ends if no run has begun after this time."""


class EarlyWorker:
    """One process, for the first run of a runner; none if the project's pipelines are imported already, or without a project.

    It is one, however many a run can use: how many that are is not known before the pipelines are. The others import the pipelines
    before they take a task, so that what the first one can do at once does not wait in them for their imports.

    Args:
        project: What the process enters.
        max_workers: The number of processes that the run may use.
    """

    def __init__(self, project: Project | None, max_workers: int) -> None:
        self._lock = threading.Lock()
        self._driver = os.getpid()
        self._project = project
        self._pool: WorkerPool | None = None
        self._timer = threading.Timer(MAX_SECONDS, self.close)
        self._timer.daemon = True
        if project is not None and f"{project.package}.pipeline_registry" not in sys.modules:
            try:
                self._start(project, max_workers)
            except Exception:  # noqa: BLE001 - an error of the run, which starts processes again, and not of making a runner
                self.close()

    def __reduce__(self) -> tuple[type[EarlyWorker], tuple[None, int]]:
        return EarlyWorker, (None, 1)

    def _start(self, project: Project, max_workers: int) -> None:
        self._pool = WorkerPool(max_workers, partial(_enter_and_import, project), starts=1)
        [self._worker] = self._pool.process_ids()
        self._state = self._pool.executor.submit(_state)
        self._timer.start()

    def take(self, workers: int, setup: Setup) -> WorkerPool | None:
        """The process, with others that start now, for a run that begins. It is not given twice, and the caller closes it.

        Args:
            workers: The number of processes.
            setup: What each process calls first, if it starts now: the project as it is now.

        Returns:
            None if there is none, or if a process that starts now would have other code or other environment variables.
        """
        pool = self._taken()
        if pool is None:
            return None
        with contextlib.suppress(BrokenExecutor), contextlib.ExitStack() as unless_it_is_used:
            unless_it_is_used.callback(pool.close)
            if setup == self._project:
                pool.start_up_to(workers)
                if self._is_like_the_driver():
                    unless_it_is_used.pop_all()
                    return pool
        return None

    def _is_like_the_driver(self) -> bool:
        """Whether the process has imported its modules with the environment variables and the import path that the driver has now.

        A hook may have set variables, which the modules read when they are imported.
        """
        now = self._worker, {**os.environ, **changed_environment()}, set(import_path())
        return self._state.exception() is None and self._state.result() == now

    def close(self) -> None:
        """End the process, unless a run has taken it."""
        pool = self._taken()
        if pool is not None:
            pool.close()

    def _taken(self) -> WorkerPool | None:
        with self._lock:
            pool, self._pool = self._pool, None
        self._timer.cancel()
        # A fork of the driver neither uses nor ends what belongs to its parent.
        return pool if self._driver == os.getpid() else None


def _enter_and_import(project: Project) -> None:
    """What each process calls first: enter the project, and import what Kedro imports of its pipelines.

    What cannot be imported is not said here: the driver imports it as well.
    """
    project()
    with contextlib.suppress(Exception):
        importlib.import_module(f"{project.package}.pipeline_registry")
    with contextlib.suppress(Exception):
        pipelines = importlib.import_module(f"{project.package}.pipelines")
        for module in pkgutil.iter_modules(pipelines.__path__, f"{pipelines.__name__}."):
            with contextlib.suppress(Exception):
                importlib.import_module(module.name)


def _state() -> tuple[int, dict[str, str], set[str]]:
    """The process that answers, its environment variables, and the entries of its `sys.path`."""
    return os.getpid(), dict(os.environ), set(sys.path)
