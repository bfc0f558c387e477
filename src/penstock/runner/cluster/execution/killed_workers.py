"""Who may have killed workers: what Dask's scheduler and the nannies of the workers say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from penstock.errors import NodeError
from penstock.graph.taskspec import work_of

if TYPE_CHECKING:
    from distributed import Client, KilledWorker

LOG_LINES = 3
"""How many lines of each worker's log an error shows."""

ADVICE = (
    "Most often the memory was not enough: give workers more, or let fewer such nodes run at once, "
    "with NodePolicy(resources=...)."
)


def suspected(client: Client, error: KilledWorker, graph: Mapping[str, Any]) -> NodeError:
    """An error that names the task that Dask gave up, what else the dead workers had, and the end of their logs."""
    deaths = _deaths(client, error.task) or [(error.last_worker.address, [error.task])]
    others = sorted(set.intersection(*(set(keys) for _, keys in deaths)) - {error.task})
    told = [
        f"it is the suspect, not proven guilty: {len(deaths)} workers died while they had it: {_listed(deaths)}."
    ]
    if others:
        told.append(f"All of them also had {', '.join(_words(graph, key) for key in others)}.")
    text = "\n".join([*told, ADVICE, *_log_tails(client, error.last_worker.nanny)])
    return NodeError(_words(graph, error.task), text)


def _listed(deaths: list[tuple[str, list[str]]]) -> str:
    return ", ".join(worker for worker, _ in deaths)


def _words(graph: Mapping[str, Any], key: str) -> str:
    work = work_of(graph.get(key))
    return str(work) if work is not None else f"task {key}"


def _deaths(client: Client, key: str) -> list[tuple[str, list[str]]]:
    """The workers that died while they had the task, each with all the tasks that it had."""
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        deaths: list[tuple[str, list[str]]] = client.run_on_scheduler(_deaths_with, key=key)
        return deaths
    return []


def _deaths_with(key: str, dask_scheduler: Any) -> list[tuple[str, list[str]]]:
    events = [event for _, event in dask_scheduler.get_events("all") if isinstance(event, dict)]
    lost = [event for event in events if event.get("action") == "remove-worker"]
    tasks_by_worker = {event["worker"]: event.get("processing-tasks", ()) for event in lost}
    return [(worker, list(map(str, keys))) for worker, keys in tasks_by_worker.items() if key in keys]


def _log_tails(client: Client, last_nanny: str | None) -> list[str]:
    """The last lines of the nannies, which outlive their workers; of those that can be asked."""
    logs: list[Any] = []
    with contextlib.suppress(Exception):
        logs = client.run_on_scheduler(_nanny_logs, last_nanny=last_nanny)
    # Nannies of one process share their log.
    tails = dict.fromkeys("\n".join(f"  {line}" for _, line in reversed(lines)) for lines in logs if lines)
    return ["The last lines of the workers' logs:", *tails] if tails else []


async def _nanny_logs(last_nanny: str | None, dask_scheduler: Any) -> list[Any]:
    # Most nannies of workers that died have started another.
    nannies = {last_nanny, *(worker.nanny for worker in dask_scheduler.workers.values())} - {None}
    return [await dask_scheduler.rpc(nanny).get_logs(n=LOG_LINES) for nanny in sorted(nannies)]
