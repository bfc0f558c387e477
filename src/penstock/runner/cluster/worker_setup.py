"""Set up the scheduler and the workers of a cluster before they see anything of a run."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import WorkerPlugin

from penstock.runner.cluster.session import clean_up_scheduler, remove_worker_plugin
from penstock.runner.cluster.workers.waiting import log_while_waiting

if TYPE_CHECKING:
    from penstock.runner.cluster.session import ClusterSession


@contextlib.contextmanager
def setting_up_workers(
    session: ClusterSession, on_workers: Callable[[], None], on_scheduler: Callable[[], None]
) -> Iterator[None]:
    """Call functions on the scheduler and on all workers; workers that start inside the block call theirs before any task.

    Args:
        session: The cluster.
        on_workers: Called on each worker.
        on_scheduler: Called on the scheduler, which unpickles graphs.

    Raises:
        Exception: What one of the functions raised.
    """
    name = f"penstock-setup-{secrets.token_hex(8)}"
    session.client.run_on_scheduler(on_scheduler)
    try:
        with log_while_waiting("the workers to set themselves up"):
            session.client.register_plugin(_Setup(on_workers), name=name)
        yield
    finally:
        if not session.ends_with_run:
            clean_up_scheduler(session.client, remove_worker_plugin, name=name)


class _Setup(WorkerPlugin):  # type: ignore[misc]  # distributed ships no types
    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        self._function()
