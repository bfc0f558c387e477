"""The runners of one machine for a `KedroSession`, and the base of all runners for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import kedro.io
from kedro.runner import AbstractRunner as KedroRunner

from penstock import errors, runner
from penstock.kedro.project import current_project, use_kedro_log_level

if TYPE_CHECKING:
    from penstock.runs.result import RunResult

# A session checks `isinstance(runner, kedro.runner.AbstractRunner)`, and uses nothing else of that class.
KedroRunner.register(runner.AbstractRunner)

_KEDROS = {
    errors.DatasetNotFoundError: kedro.io.DatasetNotFoundError,
    errors.DatasetAlreadyExistsError: kedro.io.DatasetAlreadyExistsError,
}


class InSession(runner.AbstractRunner):
    """Base of the runners for Kedro projects: logs like Kedro, and raises Kedro's own errors of datasets."""

    def run(self, *arguments: Any, **options: Any) -> RunResult:
        """Run the pipeline, as `penstock.runner.AbstractRunner.run` does.

        Raises:
            kedro.io.DatasetError: Data cannot be loaded or saved.
            Exception: What `penstock.runner.AbstractRunner.run` raises.
        """
        use_kedro_log_level()
        with _errors_of_kedro():
            return super().run(*arguments, **options)


class SequentialRunner(InSession, runner.SequentialRunner):
    """`penstock.runner.SequentialRunner` for a Kedro project."""


class ThreadRunner(InSession, runner.ThreadRunner):
    """`penstock.runner.ThreadRunner` for a Kedro project."""


class ParallelRunner(InSession, runner.ParallelRunner):
    """`penstock.runner.ParallelRunner` for a Kedro project; worker processes load the project first."""

    def worker_setup(self) -> Callable[[], None] | None:
        """Each process enters the project."""
        return current_project()


@contextlib.contextmanager
def _errors_of_kedro() -> Iterator[None]:
    """Raise errors of datasets as Kedro's own classes, which the hooks and callers of a project catch."""
    try:
        yield
    except errors.DatasetError as error:
        kedros = _KEDROS.get(type(error), kedro.io.DatasetError)
        home = kedros(str(error)).with_traceback(error.__traceback__)
        vars(home).update(vars(error))
        cause = error.__cause__
    else:
        return
    raise home from cause
