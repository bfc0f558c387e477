"""The runner on a cluster, for a `KedroSession`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dask

from penstock import runner
from penstock.kedro.project import current_project, quiet_logger
from penstock.kedro.runners import InSession
from penstock.runner.cluster.module_claims import ModuleClaim, claiming_modules
from penstock.runner.cluster.worker_setup import setting_up_workers

if TYPE_CHECKING:
    from penstock.runner.cluster.session import ClusterSession

_QUIET_WORKERS = {"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "warning"}


class DaskRunner(InSession, runner.DaskRunner):
    """`penstock.runner.DaskRunner` for a Kedro project, whose workers enter the project.

    A worker that does not see the project's folder gets a copy of its source. A run is refused while another run on the same cluster
    has other code under the same module names.
    """

    def _connected(self, stack: contextlib.ExitStack) -> ClusterSession:
        # Dask logs every step of a cluster, and if Kedro has set up logging first, through the handlers of the project.
        is_quiet = stack.enter_context(quiet_logger("distributed"))
        with dask.config.set(_QUIET_WORKERS if is_quiet else {}):
            return super()._connected(stack)

    @contextlib.contextmanager
    def _preparing(self, session: ClusterSession, stack: contextlib.ExitStack) -> Iterator[None]:
        project = current_project()
        if project is None:
            yield
            return
        sent = project if session.owns_cluster else project.with_archive()
        with claiming_modules(session, ModuleClaim(str(sent), sent.modules, sent.fingerprint)):
            stack.enter_context(setting_up_workers(session, sent))
            yield
