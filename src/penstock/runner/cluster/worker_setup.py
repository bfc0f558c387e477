"""Set up the workers of a cluster before they see anything of a run."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import WorkerPlugin

from penstock.runner.cluster.session import CleanupPlugin, clean_up_scheduler, remove_worker_plugin
from penstock.runner.cluster.workers.waiting import log_while_waiting

if TYPE_CHECKING:
    from penstock.runner.cluster.session import ClusterSession


@contextlib.contextmanager
def setting_up_workers(session: ClusterSession, on_workers: Callable[[], None]) -> Iterator[None]:
    """Call a function on all workers; workers that start inside the block call it before any task.

    Args:
        session: The cluster.
        on_workers: Called on each worker.

    Raises:
        Exception: What the function raised.
    """
    name = f"penstock-setup-{secrets.token_hex(8)}"
    cleanup = CleanupPlugin(name, session.client.id)
    try:
        session.client.run_on_scheduler(_add, plugin=cleanup)
        with log_while_waiting("the workers to set themselves up"):
            session.client.register_plugin(_Setup(on_workers), name=name)
        yield
    finally:
        if not session.ends_with_run:
            clean_up_scheduler(session.client, remove_worker_plugin, name=name)


def _add(plugin: CleanupPlugin, dask_scheduler: Any) -> None:
    dask_scheduler.add_plugin(plugin, name=plugin.name)


class _Setup(WorkerPlugin):  # type: ignore[misc]  # distributed ships no types
    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        self._function()
