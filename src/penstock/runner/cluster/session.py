"""The cluster of a run, and the messages that a run sends to its scheduler and workers.

No message waits for ever for a worker that does not answer. A node that runs C code for minutes without releasing the interpreter
keeps its worker from answering; on a shared cluster it may be the node of another user.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

if TYPE_CHECKING:
    from distributed import Client

    from penstock.runner.cluster.workers.supervisor import Supervisor

WORKER_ANSWER_SECONDS = 10.0
"""How long a worker has to answer a question that every worker can answer at once."""

WORKER_NOTICE_SECONDS = 3.0
"""How long to wait until all workers have received a message that needs no answer."""


@dataclass(frozen=True)
class ClusterSession:
    """An open connection to a cluster that has at least one worker.

    Attributes:
        client: Connected to the cluster.
        owns_cluster: The runner started the cluster and closes it. A cluster that the runner does not own is used by others.
        supervisor: Counts the workers, and replaces those that end if the runner owns the cluster.
        ends_with_run: The runner closes the cluster as soon as the run ends, so the run need not leave it as it was.
    """

    client: Client
    owns_cluster: bool
    supervisor: Supervisor
    ends_with_run: bool


# In the driver


def ask_workers(client: Client, message: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of each worker, by its address; None if it does not answer in time.

    Args:
        client: Connected to a cluster whose scheduler has penstock installed.
        message: A message for Dask's workers, with the operation as `op`.
    """
    return dict(client.run_on_scheduler(_answers, message=dict(message), seconds=WORKER_ANSWER_SECONDS))


def clean_up_scheduler(client: Client, function: Callable[..., Any], **arguments: Any) -> Any:
    """Call a function on the scheduler at the end of a run, and return its result; None if the scheduler does not answer.

    Args:
        client: Connected to the cluster. If the connection is closed, there is nothing left to remove.
        function: Removes what the run left on the scheduler.
        arguments: Arguments of the function.
    """
    if client.status == "running":
        with contextlib.suppress(Exception):
            return client.run_on_scheduler(function, **arguments)
    return None


@contextlib.contextmanager
def listening_to_topic(client: Client, topic: str, listener: Callable[[Any], None]) -> Iterator[None]:
    """Call the listener, on the client's loop, with each message that workers send to the topic inside the block.

    Args:
        client: Connected to the cluster.
        topic: The name of one of the scheduler's topics.
        listener: Called with the message.
    """
    try:
        client.subscribe_topic(topic, lambda event: listener(event[1]))
        yield
    finally:
        # Not `unsubscribe_topic`, which takes another way to the scheduler: it may arrive second, and create the topic again.
        clean_up_scheduler(client, forget_topic, topic=topic)
        # Private to distributed's `Client`: no public method forgets a handler without a message to the scheduler. If it changes,
        # the client keeps the listener, and with it the catalog. `test_nothing_of_a_run_stays_in_the_client` notices.
        getattr(client, "_event_handlers", {}).pop(topic, None)


# On the scheduler


async def send_to_workers(scheduler: Any, message: Mapping[str, Any]) -> None:
    """Send a message to all workers. A worker that does not answer receives it later.

    Args:
        scheduler: Dask's scheduler.
        message: A message for Dask's workers, with the operation as `op`.
    """
    await _broadcast(scheduler, message, WORKER_NOTICE_SECONDS)


async def remove_worker_plugin(name: str, dask_scheduler: Any) -> None:
    """Remove a plugin from all workers, and from those that start later, and its `CleanupPlugin`.

    Args:
        name: The name of the plugin.
        dask_scheduler: Dask's scheduler.
    """
    dask_scheduler.plugins.pop(name, None)
    dask_scheduler.worker_plugins.pop(name, None)
    await send_to_workers(dask_scheduler, {"op": "plugin-remove", "name": name})


def forget_topic(topic: str, dask_scheduler: Any) -> None:
    """Remove a topic with its events and its subscriptions.

    Args:
        topic: The name of the topic.
        dask_scheduler: Dask's scheduler.
    """
    # Private to distributed's `Scheduler`: it has no public way to remove a topic, and keeps its events for ever. If it changes,
    # each run leaves its topic on the scheduler. `test_nothing_of_a_run_stays_on_the_scheduler` notices.
    dask_scheduler._broker._topics.pop(topic, None)  # noqa: SLF001


class CleanupPlugin(SchedulerPlugin):  # type: ignore[misc]  # distributed ships no types
    """Removes the worker plugin and the topic of its name, if their client is gone because the driver was killed.

    Args:
        name: The name of the three.
        client: The id of the client.
    """

    def __init__(self, name: str, client: str) -> None:
        self.name = name
        self._client = client

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Remove what has the name."""
        if client == self._client:
            scheduler.loop.add_callback(_remove_all, self.name, scheduler)


async def _remove_all(name: str, scheduler: Any) -> None:
    await remove_worker_plugin(name, scheduler)
    forget_topic(name, scheduler)


async def _answers(message: Mapping[str, Any], seconds: float, dask_scheduler: Any) -> dict[str, Any]:
    requests = await _broadcast(dask_scheduler, message, seconds)
    return {
        address: request.result().get(address) if request.done() else None
        for address, request in requests.items()
    }


async def _broadcast(
    scheduler: Any, message: Mapping[str, Any], seconds: float
) -> dict[str, asyncio.Task[dict[str, Any]]]:
    requests = {
        address: asyncio.create_task(
            scheduler.broadcast(msg=dict(message), workers=[address], on_error="ignore")
        )
        for address in scheduler.workers
    }
    for request in requests.values():
        _open_requests.add(request)
        request.add_done_callback(_open_requests.discard)
    if requests:
        await asyncio.wait(requests.values(), timeout=seconds)
    return requests


_open_requests: set[asyncio.Task[Any]] = set()
"""Requests that are not answered yet. Without a reference they could be garbage-collected: an event loop keeps only weak ones."""
