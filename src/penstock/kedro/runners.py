"""The runners of one machine, for a `KedroSession`, and what all runners for it share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import kedro.io
from kedro.runner import AbstractRunner as KedroRunner

from penstock import errors, runner
from penstock.kedro.project import current_project, follow_kedro

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, PipelineLike
    from penstock.graph.policies import Policies
    from penstock.runs.result import RunResult

# A session asks `isinstance(runner, kedro.runner.AbstractRunner)`, and nothing else of that class.
KedroRunner.register(runner.AbstractRunner)

_KEDROS = {
    errors.DatasetNotFoundError: kedro.io.DatasetNotFoundError,
    errors.DatasetAlreadyExistsError: kedro.io.DatasetAlreadyExistsError,
}


class InSession(runner.AbstractRunner):
    """Mixed into a runner, it speaks to a project in Kedro's terms."""

    def run(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike,
        hook_manager: Any = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,  # noqa: FBT001, FBT002 - Kedro's signature
        *,
        policies: Policies | None = None,
    ) -> RunResult:
        """The datasets of the pipeline's outputs, when all of it has run and is saved.

        Raises:
            kedro.io.DatasetError: Data cannot be loaded or saved.
            Exception: What `penstock.runner.AbstractRunner.run` raises.
        """
        follow_kedro()
        with _errors_of_kedro():
            return super().run(
                pipeline, catalog, hook_manager, run_id, only_missing_outputs, policies=policies
            )


class SequentialRunner(InSession, runner.SequentialRunner):
    """`penstock.runner.SequentialRunner` for a Kedro project."""


class ThreadRunner(InSession, runner.ThreadRunner):
    """`penstock.runner.ThreadRunner` for a Kedro project."""


class ParallelRunner(InSession, runner.ParallelRunner):
    """`penstock.runner.ParallelRunner` for a Kedro project, whose workers enter the project."""

    def worker_setup(self) -> Callable[[], None] | None:
        """Each process enters the project."""
        return current_project()


@contextlib.contextmanager
def _errors_of_kedro() -> Iterator[None]:
    """Errors of data as Kedro's own classes, which a project's hooks and callers know."""
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
