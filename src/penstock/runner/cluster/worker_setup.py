"""What the processes of a cluster do before they see anything of a run."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import WorkerPlugin

from penstock.runner.cluster.broadcast import tidy, withdraw
from penstock.runner.cluster.workers.waiting import log_while_waiting

if TYPE_CHECKING:
    from penstock.runner.cluster.session import ClusterSession


@contextlib.contextmanager
def prepared(
    session: ClusterSession, on_workers: Callable[[], None], on_scheduler: Callable[[], None]
) -> Iterator[None]:
    """The scheduler and all workers have called what they are given; workers that come while this is open will, first of all.

    Args:
        session: The cluster.
        on_workers: Called on each worker.
        on_scheduler: Called on the scheduler, which unpickles graphs.

    Raises:
        Exception: What one of them raised.
    """
    name = f"penstock-prepared-{secrets.token_hex(8)}"
    session.client.run_on_scheduler(on_scheduler)
    try:
        with log_while_waiting("the workers to prepare themselves"):
            session.client.register_plugin(_Preparation(on_workers), name=name)
        yield
    finally:
        if not session.owns_cluster:
            tidy(session.client, withdraw, name=name)


class _Preparation(WorkerPlugin):  # type: ignore[misc]  # distributed ships no types
    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        self._function()
