"""The runner on a cluster, for a `KedroSession`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import dask

from penstock import runner
from penstock.kedro.project import Project, current_project
from penstock.kedro.runners import InSession
from penstock.runner.cluster.worker_setup import setting_up_workers

if TYPE_CHECKING:
    from penstock.runner.cluster.session import ClusterSession

_QUIET_WORKERS = {"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "warning"}


class DaskRunner(InSession, runner.DaskRunner):
    """`penstock.runner.DaskRunner` for a Kedro project, whose workers enter the project.

    A worker that does not see the project's folder gets a copy of its source.
    """

    def _connected(self, stack: contextlib.ExitStack) -> ClusterSession:
        project = current_project()
        return super()._connected(stack) if project is None else self._connected_in(project, stack)

    def _connected_in(self, project: Project, stack: contextlib.ExitStack) -> ClusterSession:
        # Dask logs every step of a cluster, and if Kedro has set up logging first, through the handlers of the project.
        is_quiet = stack.enter_context(project.quiet_logger("distributed"))
        with dask.config.set(_QUIET_WORKERS if is_quiet else {}):
            session = super()._connected(stack)
        sent = project if session.owns_cluster else project.with_archive()
        stack.enter_context(setting_up_workers(session, sent, sent.make_importable))
        return session
