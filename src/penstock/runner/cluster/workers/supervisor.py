"""Whether workers are there or may come, and what the queue says if not."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from penstock.errors import NoWorkersError
from penstock.runner.cluster.workers.job_queue import is_job_queue
from penstock.runner.cluster.workers.slurm import State, log_tail, states

if TYPE_CHECKING:
    from distributed import Client

_LOG = logging.getLogger(__name__)

ASK_SECONDS = 2.0
"""How soon the queue is asked again; doubled each time, since a queue has more to do."""

LONGEST_SECONDS = 30.0
"""The longest time between two questions to the queue."""

MOST_FAILED_STARTS = 3
"""After so many jobs in a row that ended before a worker came of them, no more are submitted."""


class Supervisor:
    """Looks after the workers of a cluster: knows its jobs if it has any, and replaces those that end if the runner owns the cluster.

    Args:
        client: Of the cluster; if it was made of a cluster object, the cluster's jobs are known.
        owns_cluster: The runner has started the cluster, and may ask for new jobs. Otherwise it is only looked at.
    """

    def __init__(self, client: Client, *, owns_cluster: bool) -> None:
        self._client = client
        self._cluster: Any = client.cluster if is_job_queue(client.cluster) else None
        self._owns_cluster = owns_cluster
        self._seen: dict[str, str] = {}
        self._failed_starts = 0
        self._said: list[str] = []
        self._ask_at = 0.0
        self._pause = ASK_SECONDS
        self._count = -1

    @property
    def expected(self) -> int:
        """How many workers there should be; 0 if nobody here knows."""
        if self._cluster is not None:
            each = [job.worker_processes for job in self._jobs().values()]
            return len(self._cluster.worker_spec) * max(each, default=1)
        plan = getattr(self._client.cluster, "plan", None)
        return len(plan) if plan is not None else 0

    @property
    def may_grow(self) -> bool:
        """Whether more workers may come without anybody's doing."""
        return self._adapts or self.expected > len(self._client.nthreads())

    @property
    def _adapts(self) -> bool:
        adaptive = getattr(self._client.cluster, "_adaptive", None)
        return adaptive is not None and getattr(adaptive, "state", "running") in {"starting", "running"}

    def look(self) -> int:
        """The number of workers. Jobs that have ended are replaced, if the runner owns the cluster.

        Raises:
            NoWorkersError: There are none, and none will come.
        """
        count = len(self._client.nthreads())
        if self._cluster is None:
            self._look_for_lost(count)
            return count
        if count != self._count:
            self._notice(count)
        is_complete = count >= self.expected and count > 0
        if not is_complete and time.monotonic() >= self._ask_at:
            self._pause = min(LONGEST_SECONDS, 2 * self._pause)
            self._ask_at = time.monotonic() + self._pause
            problem = self._ask(count)
            # Raised here, where no local variable holds a job: a cluster that somebody holds jobs of cannot be closed.
            if problem is not None:
                raise NoWorkersError(problem, self._said)
        return count

    def _look_for_lost(self, count: int) -> None:
        """Start workers of this machine anew that Dask has given up: those whose restart took longer than `lost-worker-timeout`."""
        cluster: Any = self._client.cluster
        wanted, there = getattr(cluster, "worker_spec", None), getattr(cluster, "workers", None)
        if not wanted or there is None or self._adapts or _is_changing(cluster):
            return
        lost = wanted.keys() - there.keys()
        if lost and self._owns_cluster:
            _LOG.warning(
                "%d of %d workers were given up by Dask; as many new ones are started", len(lost), len(wanted)
            )
            cluster.scale(len(wanted))
        elif not there and not count:
            raise NoWorkersError(
                f"Dask has given up all workers of the cluster, and starts none: call its scale({len(wanted)})",
                [],
            )

    def said(self, *, with_logs: bool = False) -> list[str]:
        """What the queue says of each job; the log's end of those that are over, and on demand of those it is not asked for."""
        jobs = self._jobs()
        told = (_told(state, jobs.get(name), with_log=with_logs) for name, state in states(jobs).items())
        return _each_once(told) or self._said

    def _notice(self, count: int) -> None:
        """Workers have come or gone: remember which jobs have had one, and ask the queue soon."""
        if count < self._count:
            _LOG.warning("%d of %d workers are left", count, self._count)
        self._count = count
        self._pause, self._ask_at = ASK_SECONDS, time.monotonic() + ASK_SECONDS
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        names = [str(worker["name"]) for worker in workers]
        for job, started in self._jobs().items():
            if any(name == job or name.startswith(f"{job}-") for name in names):
                self._seen[job] = str(started.job_id)
                self._failed_starts = 0

    def _ask(self, count: int) -> str | None:
        """Ask the queue, and replace what has ended; why no worker will come, if so it is."""
        jobs = self._jobs()
        known = {**states(jobs), **self._given_up()}
        ended = {name: state for name, state in known.items() if state.is_over}
        if ended:
            self._said = _each_once(_told(state, jobs.get(name)) for name, state in ended.items())
        has_others = count > 0 or len(ended) < len(known) or _is_changing(self._cluster)
        if not self._owns_cluster:
            return None if has_others or self._adapts else self._blame()
        if not ended:
            return None
        self._failed_starts += len(ended.keys() - self._seen)
        is_hopeless = self._failed_starts >= MOST_FAILED_STARTS
        if not has_others and (is_hopeless or not self._seen):
            return "All jobs ended before a worker came of them"
        told = "; ".join(_each_once(map(str, ended.values())))
        if is_hopeless:
            _LOG.warning("Jobs ended: %s. No more are asked for, since no worker came of the last ones", told)
        else:
            _LOG.warning("Jobs ended: %s. As many new ones are asked for", told)
            self._cluster.sync(self._cluster.replace, list(ended))
        return None

    def _given_up(self) -> dict[str, State]:
        """Jobs whose worker was gone for `lost-worker-timeout`: Dask forgets them, and only `adapt` asks for others."""
        spec, jobs = self._cluster.worker_spec, self._jobs()
        return {
            name: State(id_, "GONE") for name, id_ in self._seen.items() if name in spec and name not in jobs
        }

    def _blame(self) -> str:
        if not self.expected:
            return "The cluster has no workers and asks for none: call its scale or adapt"
        return "All jobs of the cluster have ended, and it replaces none, since it does not adapt: call its adapt"

    def _jobs(self) -> dict[str, Any]:
        if self._cluster is None:
            return {}
        return {str(name): job for name, job in dict(self._cluster.workers).items()}


def _is_changing(cluster: Any) -> bool:
    """Whether workers are being started, or jobs are on their way to the queue: the cluster knows them when all of them are there."""
    lock = getattr(cluster, "_lock", None)
    return lock is not None and bool(lock.locked())


def _each_once(told: Iterable[str]) -> list[str]:
    """Jobs that fail mostly fail for one reason."""
    counts = Counter(told)
    return [f"{count} times: {each}" if count > 1 else each for each, count in counts.items()]


def _told(state: State, job: Any, *, with_log: bool = False) -> str:
    has_log = job is not None and state.id and (state.is_over or (with_log and not state.state))
    tail = log_tail(job) if has_log else ""
    return f"{state}; the end of its log {tail}" if tail else str(state)
