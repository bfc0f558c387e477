"""What the processes of a cluster do before they see anything of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import WorkerPlugin

from penstock.runner.cluster.waiting import saying

if TYPE_CHECKING:
    from distributed import Client


def prepare(
    client: Client, name: str, on_workers: Callable[[], None], on_scheduler: Callable[[], None]
) -> None:
    """Return when the scheduler and all workers have called what they are given; workers that come later will, first of all.

    Args:
        client: Of the cluster.
        name: What is prepared; it replaces an earlier preparation of that name.
        on_workers: Called on each worker.
        on_scheduler: Called on the scheduler, which unpickles graphs.

    Raises:
        Exception: What one of them raised.
    """
    client.run_on_scheduler(on_scheduler)
    with saying("the workers to prepare themselves"):
        client.register_plugin(_Preparation(on_workers), name=name)


class _Preparation(WorkerPlugin):  # type: ignore[misc]  # distributed ships no types
    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        self._function()
