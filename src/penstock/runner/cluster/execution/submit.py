"""How a graph is run on a cluster, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from distributed import Client, Future, KilledWorker, as_completed, rejoin, secede

from penstock.errors import ClusterError
from penstock.graph.taskspec import is_data
from penstock.runner.cluster.execution.killed_workers import suspected
from penstock.runner.cluster.execution.large_inputs import keeping_large_inputs_on_workers
from penstock.runner.cluster.execution.save_once import saving_once
from penstock.runner.cluster.workers.waiting import log_while_waiting

if TYPE_CHECKING:
    from penstock.runner.cluster.session import ClusterSession

POLL_SECONDS = 0.05
"""How soon it is asked again whether anything runs; doubled each time, up to a second."""


def computed(session: ClusterSession, graph: Mapping[str, Any], keys: Sequence[str]) -> list[Future]:
    """Futures of the keys, all of them finished; when this raises, no task of the graph runs any more.

    If the runner owns the cluster, it closes the cluster next instead, which ends the tasks.

    Raises:
        NodeError: A task was given up, since its workers died again and again.
        ClusterError: The scheduler is gone, or has given up the run.
    """
    client = session.client
    with _aside(), keeping_large_inputs_on_workers(client, graph) as small:
        futures: list[Future] = []
        try:
            # Closed before the run is stopped: until then the scheduler keeps what is saved, for nobody, and knows no end.
            with saving_once(client):
                futures = client.get(small, list(keys), sync=False)
                _wait(client, futures, graph)
        except BaseException:
            if not session.owns_cluster:
                # Interrupted while it was sent, the graph may be there although no future is here.
                tasks = frozenset(key for key, task in graph.items() if not is_data(task))
                _stop(client, futures or [Future(key, client) for key in keys], tasks)
            raise
    return futures


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """While a run inside a task waits, the task's place on its worker is free for the tasks that it waits for."""
    # Not inside of `except`: what is raised meanwhile would have that error as its context.
    has_seceded = False
    with contextlib.suppress(ValueError, AttributeError, KeyError):
        # In no task, or aside already.
        secede()
        has_seceded = True
    try:
        yield
    finally:
        if has_seceded:
            rejoin()


def _wait(client: Client, futures: list[Future], graph: Mapping[str, Any]) -> None:
    waiting = futures
    while waiting:
        for future in as_completed(waiting, loop=client.loop):
            if future.status == "error":
                raise _cause(client, future, graph)
            if future.status in {"cancelled", "lost"} and client.status != "running":
                raise ClusterError(
                    "The connection to the scheduler is lost: it has ended, or the network is down"
                )
            if future.status == "cancelled":
                raise ClusterError(
                    f"The scheduler gave up task {future.key}; was it cancelled, or the cluster restarted?"
                )
        # What a worker held that died in the meantime is computed again.
        waiting = [future for future in futures if future.status != "finished"]


def _cause(client: Client, future: Future, graph: Mapping[str, Any]) -> BaseException:
    error: BaseException = future.exception()
    return suspected(client, error, graph) if isinstance(error, KilledWorker) else error


def _stop(client: Client, futures: list[Future], keys: frozenset[str]) -> None:
    """Return when neither the scheduler nor any worker does anything for the keys, nor will."""
    if client.status != "running":
        # The scheduler's end is the end of its workers.
        return
    with (
        contextlib.suppress(OSError, asyncio.TimeoutError),
        log_while_waiting("the workers to stop what they do"),
    ):
        seconds, quiet = POLL_SECONDS, 0
        # Twice, since what the scheduler has told a worker may still be on its way there.
        while quiet < 2:  # noqa: PLR2004
            client.cancel(futures, force=True)
            is_busy = client.run_on_scheduler(_is_planned, keys=keys) or any(
                client.run(_is_known, keys=keys, on_error="ignore").values()
            )
            quiet = 0 if is_busy else quiet + 1
            time.sleep(seconds)
            seconds = min(1.0, 2 * seconds) if is_busy else POLL_SECONDS


def _is_planned(keys: frozenset[str], dask_scheduler: Any) -> bool:
    tasks = (dask_scheduler.tasks.get(key) for key in keys)
    states = {task.state for task in tasks if task is not None}
    return bool(
        dask_scheduler._active_graph_updates or states & {"waiting", "processing", "queued", "no-worker"}
    )


def _is_known(keys: frozenset[str], dask_worker: Any) -> bool:
    return not keys.isdisjoint(dask_worker.state.tasks)
