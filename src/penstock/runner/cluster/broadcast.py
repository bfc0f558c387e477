"""Asking all workers, and not waiting for ever for one that does not answer.

A node that keeps its interpreter to itself, in C code for minutes, keeps its worker from answering anybody; on a shared cluster it
is somebody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

ANSWER_SECONDS = 10.0
"""How long a worker has to answer what every worker can answer at once."""

TELL_SECONDS = 3.0
"""How long it is waited until all workers have heard what they are told."""


def answers(client: Client, message: Mapping[str, Any]) -> dict[str, Any]:
    """What each worker answers, by its address; None if it does not in time.

    Args:
        client: Of a cluster whose scheduler has penstock.
        message: What Dask's workers understand, with the operation as `op`.
    """
    told: dict[str, Any] = client.run_on_scheduler(_ask, message=dict(message), seconds=ANSWER_SECONDS)
    return told


def tidy(client: Client, function: Callable[..., Any], **arguments: Any) -> Any:
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


async def tell(scheduler: Any, message: Mapping[str, Any]) -> None:
    """Tell all workers something, on the scheduler; one that does not listen hears of it as soon as it does."""
    await _asked(scheduler, message, TELL_SECONDS)


async def withdraw(name: str, dask_scheduler: Any) -> None:
    """Remove a plugin from the workers, on the scheduler."""
    dask_scheduler.worker_plugins.pop(name, None)
    await tell(dask_scheduler, {"op": "plugin-remove", "name": name})


async def _ask(message: Mapping[str, Any], seconds: float, dask_scheduler: Any) -> dict[str, Any]:
    asked = await _asked(dask_scheduler, message, seconds)
    return {address: task.result().get(address) if task.done() else None for address, task in asked.items()}


async def _asked(
    scheduler: Any, message: Mapping[str, Any], seconds: float
) -> dict[str, asyncio.Task[dict[str, Any]]]:
    tasks = {
        address: asyncio.create_task(
            scheduler.broadcast(msg=dict(message), workers=[address], on_error="ignore")
        )
        for address in scheduler.workers
    }
    for task in tasks.values():
        _on_their_way.add(task)
        task.add_done_callback(_on_their_way.discard)
    if tasks:
        await asyncio.wait(tasks.values(), timeout=seconds)
    return tasks


_on_their_way: set[asyncio.Task[Any]] = set()
"""Nobody else holds what a worker is told that does not listen; a loop does not."""
