"""How a graph is run on a cluster, and stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dask.sizeof import sizeof
from distributed import Client, Future, KilledWorker, as_completed

from penstock.errors import ClusterError, NodeError
from penstock.graph.work import Held, opened
from penstock.io.memory import MemoryDataset
from penstock.runner.cluster.once import done_once
from penstock.runner.cluster.remote import Remote

if TYPE_CHECKING:
    from penstock._typing import Data

BIG_BYTES = 1_000_000
"""A free input above this size is sent to a worker instead of riding in the graph through the scheduler."""

POLL_SECONDS = 0.05
"""How soon it is asked again whether anything runs; doubled each time, up to a second."""


def computed(
    client: Client, graph: Mapping[str, Any], keys: Sequence[str], *, ends_with_cluster: bool
) -> list[Future]:
    """Futures of the keys, all of them finished; when this raises, no task of the graph runs any more.

    Unless tasks end with the cluster, which is closed next and kills what still runs.
    """
    small, kept = _scattered(client, graph)
    with done_once(client):
        futures: list[Future] = client.get(small, list(keys), sync=False)
        try:
            _wait(client, futures)
        except BaseException:
            if not ends_with_cluster:
                _stop(client, futures, frozenset(small))
            raise
    del kept
    return futures


def _scattered(client: Client, graph: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Future]]:
    """The graph without its large data, which is on a worker, and what keeps it there."""
    data = {key: task.value for key, task in graph.items() if hasattr(task, "value")}
    resident = {key: remote for key, value in data.items() if (remote := _remote(client, value)) is not None}
    big = {key: value for key, value in data.items() if key not in resident and sizeof(value) > BIG_BYTES}
    kept: dict[str, Future] = client.scatter(big, hash=False) if big else {}
    for key, remote in resident.items():
        kept[key] = client.submit(_hold, remote.future, data[key].dataset.copy_mode, key=key)
    return {key: task for key, task in graph.items() if key not in kept}, kept


def _remote(client: Client, value: Any) -> Remote | None:
    """What an earlier run left on this very cluster, if that is what a free input holds."""
    deferred = getattr(getattr(value, "dataset", None), "deferred", None)
    remote = getattr(deferred, "value", None)
    return remote if isinstance(remote, Remote) and remote.is_on(client) else None


def _hold(data: Data, copy_mode: str | None) -> Held:
    return Held(MemoryDataset(opened(data), copy_mode))


def _wait(client: Client, futures: list[Future]) -> None:
    for future in as_completed(futures, loop=client.loop):
        if future.status == "error":
            raise _cause(future)
        if future.status != "finished":
            raise ClusterError(
                f"The scheduler gave up task {future.key} ({future.status}); is the cluster still up?"
            )


def _cause(future: Future) -> BaseException:
    error: BaseException = future.exception()
    if isinstance(error, KilledWorker):
        return NodeError(
            f"task {error.task}", f"it may have killed its workers, the last one {error.last_worker}: {error}"
        )
    return error


def _stop(client: Client, futures: list[Future], keys: frozenset[str]) -> None:
    """Return when no worker runs any of the keys, nor will."""
    with contextlib.suppress(OSError, TimeoutError):
        client.cancel(futures, force=True)
        seconds = POLL_SECONDS
        while any(client.run(_known, keys=keys, on_error="ignore").values()):
            time.sleep(seconds)
            seconds = min(1.0, 2 * seconds)


def _known(keys: frozenset[str], dask_worker: Any) -> bool:
    return not keys.isdisjoint(dask_worker.state.tasks)
