"""Report which task may have killed workers, from what Dask's scheduler and the nannies of the workers know."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from penstock.errors import NodeError
from penstock.graph.taskspec import work_of

if TYPE_CHECKING:
    from distributed import Client, KilledWorker

NANNY_LOG_LINES = 3
"""How many lines of each nanny's log an error shows."""

ADVICE = (
    "Most often the memory was not enough: give workers more, or let fewer such nodes run at the same time, "
    "with NodePolicy(resources=...)."
)


def killed_workers_error(client: Client, error: KilledWorker, graph: Mapping[str, Any]) -> NodeError:
    """An error that names the task that Dask gave up, the other tasks of the dead workers, and the end of the workers' logs.

    Args:
        client: Connected to the cluster.
        error: Dask's error.
        graph: The graph of the task.
    """
    deaths = _deaths(client, error.task) or [(error.last_worker.address, [error.task])]
    workers = ", ".join(worker for worker, _ in deaths)
    others = sorted(set.intersection(*(set(keys) for _, keys in deaths)) - {error.task})
    sentences = [f"it may have killed its workers: {len(deaths)} workers died while they had it: {workers}."]
    if others:
        sentences.append(f"All of them also had {', '.join(_task_text(graph, key) for key in others)}.")
    text = "\n".join([*sentences, ADVICE, *_log_texts(client, error.last_worker.nanny)])
    return NodeError(_task_text(graph, error.task), text)


def _task_text(graph: Mapping[str, Any], key: str) -> str:
    work = work_of(graph.get(key))
    return str(work) if work is not None else f"task {key}"


def _deaths(client: Client, key: str) -> list[tuple[str, list[str]]]:
    """The workers that died while they had the task, each with all its tasks."""
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        return list(client.run_on_scheduler(_deaths_on_scheduler, key=key))
    return []


def _deaths_on_scheduler(key: str, dask_scheduler: Any) -> list[tuple[str, list[str]]]:
    events = [event for _, event in dask_scheduler.get_events("all") if isinstance(event, dict)]
    lost = [event for event in events if event.get("action") == "remove-worker"]
    tasks_by_worker = {event["worker"]: event.get("processing-tasks", ()) for event in lost}
    return [(worker, list(map(str, keys))) for worker, keys in tasks_by_worker.items() if key in keys]


def _log_texts(client: Client, last_nanny: str | None) -> list[str]:
    """The last lines of the logs of nannies, which outlive their workers, if the nannies answer."""
    logs: list[Any] = []
    with contextlib.suppress(Exception):
        logs = client.run_on_scheduler(_nanny_logs, last_nanny=last_nanny)
    # Nannies of one process share their log.
    texts = dict.fromkeys("\n".join(f"  {line}" for _, line in reversed(lines)) for lines in logs if lines)
    return ["The last lines of the workers' logs:", *texts] if texts else []


async def _nanny_logs(last_nanny: str | None, dask_scheduler: Any) -> list[Any]:
    # Most nannies whose worker died have started another worker, which the scheduler lists.
    nannies = {last_nanny, *(worker.nanny for worker in dask_scheduler.workers.values())} - {None}
    return [await dask_scheduler.rpc(nanny).get_logs(n=NANNY_LOG_LINES) for nanny in sorted(nannies)]
