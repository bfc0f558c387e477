"""The runners of one machine for a `KedroSession`, and the base of all runners for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kedro.runner import AbstractRunner as KedroRunner

from penstock import runner
from penstock.kedro.project import current_project, use_kedro_log_level

if TYPE_CHECKING:
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
    """`penstock.runner.ParallelRunner` for a Kedro project; worker processes load the project first."""

    def worker_setup(self) -> Callable[[], None] | None:
        """Each process enters the project."""
        return current_project()
