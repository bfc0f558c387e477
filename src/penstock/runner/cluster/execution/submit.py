"""Run a graph on a cluster: place its tasks, submit it, wait for it, and stop it if it fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, Future, KilledWorker, as_completed, rejoin, secede

from penstock.errors import ClusterError, NodeError
from penstock.graph.taskspec import is_data, node_names, work_of
from penstock.runner.cluster.execution.exchange import sending
from penstock.runner.cluster.execution.save_once import saving_once
from penstock.runner.cluster.workers.waiting import log_while_waiting

if TYPE_CHECKING:
    from penstock.graph.plan import Plan
    from penstock.runner.cluster.session import ClusterSession
    from penstock.tasks.policy import NodePolicy

_LOG = logging.getLogger(__name__)

FIRST_STOP_POLL_SECONDS = 0.05
"""Polling interval, in seconds, while tasks finish. Each interval is twice as long as the one before, up to a second."""

ANSWER_SECONDS = 2.0
"""How long a run that has failed waits for the scheduler to say which tasks were running."""

QUIET_POLLS = 2
"""How often in a row no task may be found before a run counts as stopped: a task may be on its way from scheduler to worker."""


# Placement

NANNY_LOG_LINES = 3
"""How many lines of each nanny's log an error shows."""

ADVICE = (
    "Most often the memory was not enough: give workers more, or let fewer such nodes run at the same time, "
    "with NodePolicy(resources=...)."
)


def placing_nodes(client: Client, plan: Plan) -> contextlib.AbstractContextManager[Any]:
    """Submit graphs inside the block with the resources, priorities and workers that the plan's policies ask for.

    The call of a node takes the resources. Its loads and saves do not: they could wait for a GPU that they do not need.

    Args:
        client: Connected to the cluster.
        plan: What runs.
    """
    policies = {name: policy for name, policy in plan.policies.items() if policy.placement}
    tasks = {key: task for key, task in plan.tasks.items() if task.node in policies}
    calls = [key for key, task in tasks.items() if task.kind == "call"]
    workers_by_node = _workers_by_node(client, policies)
    by_name = {
        "resources": _ByKey({key: dict(policies[tasks[key].node].resources or {}) for key in calls}, {}),
        "priority": _ByKey({key: policies[task.node].priority for key, task in tasks.items()}, 0),
        "workers": _ByKey({key: workers_by_node.get(task.node, []) for key, task in tasks.items()}, []),
    }
    # An annotation that no policy asks for keeps the value that the caller of the run has set with `dask.annotate`.
    annotations = {name: by_key for name, by_key in by_name.items() if any(by_key.value_by_key.values())}
    annotated: contextlib.AbstractContextManager[Any] = dask.annotate(**annotations)
    return annotated


def _workers_by_node(client: Client, policies: Mapping[str, NodePolicy]) -> dict[str, list[str]]:
    """The workers that each node may run on. A worker of that name is given by its address, since a name may be a number."""
    wanted = {name: _as_list(policy.workers) for name, policy in policies.items() if policy.workers}
    known = client.scheduler_info(n_workers=-1)["workers"] if wanted else {}
    address_by_name = {str(worker["name"]): address for address, worker in known.items()}
    existing = {*known, *address_by_name, *(worker["host"] for worker in known.values())}
    for name, workers in wanted.items():
        if existing.isdisjoint(workers):
            _LOG.warning("Node %s waits until a worker of its policy starts: %s", name, ", ".join(workers))
    return {name: [address_by_name.get(each, each) for each in workers] for name, workers in wanted.items()}


def _as_list(workers: str | Sequence[str]) -> list[str]:
    return [workers] if isinstance(workers, str) else list(workers)


@dataclass(frozen=True)
class _ByKey:
    """An annotation that Dask's scheduler calls for each key. It must not return None."""

    value_by_key: dict[str, Any]
    default: Any

    def __call__(self, key: str) -> Any:
        return self.value_by_key.get(key, self.default)


# Running


def compute(
    session: ClusterSession, graph: Mapping[str, Any], keys: Sequence[str], begun: set[str]
) -> list[Future]:
    """Run a graph, and return the futures of the keys, all of them finished.

    If this raises, no task of the graph runs any more; if the cluster ends with the run, the runner closes it next, which ends them.

    Args:
        session: The cluster.
        graph: A Dask graph.
        keys: Keys of the graph.
        begun: If this raises, gets the names of the nodes that workers were running.

    Raises:
        NodeError: A task was given up, since it was on several workers when they died.
        ClusterError: The scheduler has ended, or has given up the run.
    """
    client = session.client
    with _leaving_worker_slot(), sending(client, graph) as sent:
        futures: list[Future] = []
        try:
            # Left before the run is stopped: inside the block the scheduler keeps saves that no task needs any more.
            with saving_once(client):
                futures = client.get(sent, list(keys), sync=False)
                _wait(client, futures, graph, begun)
        except BaseException:
            begun.update(node_names(graph, _running_keys(client, graph)))
            if not session.ends_with_run:
                # If Ctrl-C came while the graph was sent, the scheduler may have it although there are no futures here.
                tasks = frozenset(key for key, task in graph.items() if not is_data(task))
                _stop(client, futures or [Future(key, client) for key in keys], tasks)
            raise
    return futures


@contextlib.contextmanager
def _leaving_worker_slot() -> Iterator[None]:
    """Inside a task, free the task's slot on its worker for the block: a run in a task must not wait for its own slot."""
    # Not inside of `except`: an exception of the block would have that error as its context.
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ValueError, AttributeError, KeyError):
            # Raises outside of a task, and in a task that has left its slot already.
            secede()
            stack.callback(rejoin)
        yield


def _wait(client: Client, futures: list[Future], graph: Mapping[str, Any], begun: set[str]) -> None:
    waiting = futures
    while waiting:
        for future in as_completed(waiting, loop=client.loop):
            if future.status == "error":
                raise _failure(client, future, graph, begun)
            if future.status in {"cancelled", "lost"} and client.status != "running":
                raise ClusterError(
                    "The connection to the scheduler is lost: it has ended, or the network is down"
                )
            if future.status == "cancelled":
                raise ClusterError(
                    f"The scheduler gave up task {future.key}; was it cancelled, or the cluster restarted?"
                )
        # Dask computes again what was on a worker that has died since.
        waiting = [future for future in futures if future.status != "finished"]


def _failure(client: Client, future: Future, graph: Mapping[str, Any], begun: set[str]) -> BaseException:
    error: BaseException = future.exception()
    if not isinstance(error, KilledWorker):
        return error
    begun.update(node_names(graph, [error.task]))
    return _killed_workers_error(client, error, graph)


# Stopping


def _running_keys(client: Client, graph: Mapping[str, Any]) -> list[str]:
    """The keys of the graph's tasks that are on workers, if the scheduler answers."""
    if client.status != "running":
        return []
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        ask = client.scheduler.processing
        by_worker = client.sync(ask, workers=None, callback_timeout=ANSWER_SECONDS)
        return [key for keys in by_worker.values() for key in keys if key in graph]
    return []


def _killed_workers_error(client: Client, error: KilledWorker, graph: Mapping[str, Any]) -> NodeError:
    """An error that names the task that Dask gave up, the other tasks of the dead workers, and the end of the workers' logs."""
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


def _stop(client: Client, futures: list[Future], keys: frozenset[str]) -> None:
    """Return when neither the scheduler nor a worker runs tasks of the keys, or will run one."""
    if client.status != "running":
        # The workers end with their scheduler.
        return
    with (
        contextlib.suppress(OSError, asyncio.TimeoutError),
        log_while_waiting("the workers to stop their tasks"),
    ):
        seconds, quiet = FIRST_STOP_POLL_SECONDS, 0
        while quiet < QUIET_POLLS:
            client.cancel(futures, force=True)
            is_busy = client.run_on_scheduler(_scheduler_plans, keys=keys) or any(
                client.run(_worker_knows, keys=keys, on_error="ignore").values()
            )
            quiet = 0 if is_busy else quiet + 1
            time.sleep(seconds)
            seconds = min(1.0, 2 * seconds) if is_busy else FIRST_STOP_POLL_SECONDS


def _scheduler_plans(keys: frozenset[str], dask_scheduler: Any) -> bool:
    tasks = (dask_scheduler.tasks.get(key) for key in keys)
    states = {task.state for task in tasks if task is not None}
    # Private to distributed's `Scheduler`: no public name says that a graph has arrived whose tasks are not listed yet. If it
    # changes, a run that fails ends with AttributeError.
    # `test_a_failure_after_a_stored_dataset_has_been_read_ends_the_run` notices.
    arriving = dask_scheduler._active_graph_updates  # noqa: SLF001
    return bool(arriving or states & {"waiting", "processing", "queued", "no-worker"})


def _worker_knows(keys: frozenset[str], dask_worker: Any) -> bool:
    return not keys.isdisjoint(dask_worker.state.tasks)
