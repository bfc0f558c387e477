"""The runners of one machine for a `KedroSession`, and the base of all runners for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.runner import AbstractRunner as KedroRunner

from penstock import runner
from penstock.kedro.early_worker import EarlyWorker
from penstock.kedro.project import current_project, use_kedro_log_level

if TYPE_CHECKING:
    import contextlib

    from penstock.graph.policies import Policies
    from penstock.kedro.project import Project
    from penstock.runner.processes.pool import KeptPool, Setup, WorkerPool
    from penstock.runs.result import RunResult

# A session checks `isinstance(runner, kedro.runner.AbstractRunner)`, and uses nothing else of that class.
KedroRunner.register(runner.AbstractRunner)


class InSession(runner.AbstractRunner):
    """Base of the runners for Kedro projects: logs like Kedro.

    The notes of an error that has a cause are logged instead: rich, which shows the errors of Kedro's commands, repeats them for each
    error of the chain.
    """

    def run(self, *arguments: Any, **options: Any) -> RunResult:
        """Run the pipeline, as `penstock.runner.AbstractRunner.run` does.

        Raises:
            Exception: What `penstock.runner.AbstractRunner.run` raises.
        """
        use_kedro_log_level()
        try:
            return super().run(*arguments, **options)
        except Exception as error:
            if error.__cause__ is not None or error.__context__ is not None:
                for note in vars(error).pop("__notes__", ()):
                    self._log.error("%s", note)
            raise


class SequentialRunner(InSession, runner.SequentialRunner):
    """`penstock.runner.SequentialRunner` for a Kedro project."""


class ThreadRunner(InSession, runner.ThreadRunner):
    """`penstock.runner.ThreadRunner` for a Kedro project."""


class ParallelRunner(InSession, runner.ParallelRunner):
    """`penstock.runner.ParallelRunner` for a Kedro project; worker processes load the project first.

    One process starts when the runner is made, if the project's pipelines are still to be imported, and imports them meanwhile. It
    ends with the first run, or if no run has begun within a minute.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        is_async: bool = False,  # noqa: FBT001, FBT002 - the contract: usable positionally
        *,
        policies: Policies | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(max_workers, is_async, policies=policies, progress=progress)
        self._early_worker = EarlyWorker(self.worker_setup(), self.max_workers)

    def run(self, *arguments: Any, **options: Any) -> RunResult:
        """Run the pipeline, as `penstock.runner.AbstractRunner.run` does.

        Raises:
            Exception: What `penstock.runner.AbstractRunner.run` raises.
        """
        try:
            return super().run(*arguments, **options)
        finally:
            self._early_worker.close()

    def worker_setup(self) -> Project | None:
        """Each process enters the project."""
        return current_project()

    def _new_pool(self, workers: int, setup: Setup) -> WorkerPool:
        return self._early_worker.take(workers, setup) or super()._new_pool(workers, setup)

    def _start_kept(self, stack: contextlib.ExitStack) -> KeptPool:
        self._early_worker.close()
        return super()._start_kept(stack)
