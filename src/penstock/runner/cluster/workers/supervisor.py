"""Counts the workers of a cluster, replaces those that end, and reports what the queue says about its jobs."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from penstock.errors import NoWorkersError
from penstock.runner.cluster.workers.slurm import JobState, job_states, log_tail_text

if TYPE_CHECKING:
    from distributed import Client

_LOG = logging.getLogger(__name__)

QUEUE_POLL_SECONDS = 2.0
"""Polling interval of the queue at first; each one is twice as long as the one before, since queues are busy."""

LONGEST_QUEUE_POLL_SECONDS = 30.0
"""The longest polling interval of the queue."""

MAX_FAILED_STARTS = 3
"""After so many jobs in a row that ended without starting a worker, no more are submitted."""


def is_job_queue(cluster: Any) -> bool:
    """Whether a cluster, or a class of clusters, starts its workers as jobs of a queue.

    Args:
        cluster: A cluster, a class of clusters, or None.
    """
    module = sys.modules.get("dask_jobqueue")
    if module is None:
        return False
    cls = cluster if isinstance(cluster, type) else type(cluster)
    return issubclass(cls, module.JobQueueCluster)


class Supervisor:
    """Counts the workers of a cluster, and replaces those that end if the runner owns the cluster.

    Args:
        client: Connected to the cluster. If it was made from a cluster object, the cluster's jobs are known.
        owns_cluster: The runner started the cluster, and may submit jobs. The jobs of other clusters are only reported.
    """

    def __init__(self, client: Client, *, owns_cluster: bool) -> None:
        self._client = client
        self._cluster: Any = client.cluster if is_job_queue(client.cluster) else None
        self._owns_cluster = owns_cluster
        self._lock = threading.Lock()
        self._started: dict[str, str] = {}
        """The ids of jobs that have started a worker, by the names of the jobs."""
        self._failed_starts = 0
        self._ended_texts: list[str] = []
        self._next_poll = 0.0
        self._poll_seconds = QUEUE_POLL_SECONDS
        self._count = -1

    @property
    def expected(self) -> int:
        """How many workers the cluster should have; 0 if that is not known."""
        if self._cluster is not None:
            each = [job.worker_processes for job in self._jobs().values()]
            return len(self._cluster.worker_spec) * max(each, default=1)
        return len(getattr(self._client.cluster, "plan", ()))

    @property
    def may_grow(self) -> bool:
        """Whether the cluster may start more workers by itself."""
        return self._adapts or self.expected > len(self._client.nthreads())

    @property
    def _adapts(self) -> bool:
        # Private to distributed's `Cluster`: no public name says whether it adapts. If it changes, a run on a cluster that adapts
        # does not wait for workers. `test_a_resource_on_its_way_is_waited_for` notices.
        adaptive = getattr(self._client.cluster, "_adaptive", None)
        return adaptive is not None and getattr(adaptive, "state", "running") in {"starting", "running"}

    def check(self) -> int:
        """Count the workers, and replace those that have ended if the runner owns the cluster.

        Returns:
            The number of workers.

        Raises:
            NoWorkersError: There are none, and none will start.
        """
        # Several runs on one cluster must not replace the same worker twice.
        with self._lock:
            count = len(self._client.nthreads())
            if self._cluster is None:
                self._replace_lost_workers(count)
                return count
            if count != self._count:
                self._note_change(count)
            is_complete = count >= self.expected and count > 0
            if not is_complete and time.monotonic() >= self._next_poll:
                self._poll_seconds = min(LONGEST_QUEUE_POLL_SECONDS, 2 * self._poll_seconds)
                self._next_poll = time.monotonic() + self._poll_seconds
                problem = self._check_jobs(count)
                # Raised here, where no local variable refers to a job: a cluster whose jobs are referred to does not close.
                if problem is not None:
                    raise NoWorkersError(problem, self._ended_texts)
            return count

    def job_texts(self, *, with_logs: bool = False) -> list[str]:
        """The state of each job, with the end of its log if it is over.

        Args:
            with_logs: Show the logs of jobs whose state is not known as well.
        """
        jobs = self._jobs()
        states = job_states(jobs).items()
        texts = (_job_text(state, jobs.get(name), with_log=with_logs) for name, state in states)
        return _with_counts(texts) or self._ended_texts

    # Workers of this machine

    def _replace_lost_workers(self, count: int) -> None:
        """Start workers in place of those that Dask has given up, since they took longer than `lost-worker-timeout` to restart."""
        cluster: Any = self._client.cluster
        wanted, existing = getattr(cluster, "worker_spec", None), getattr(cluster, "workers", None)
        if not wanted or existing is None or self._adapts or _is_changing(cluster):
            return
        lost = wanted.keys() - existing.keys()
        if lost and self._owns_cluster:
            _LOG.warning(
                "Dask has given up %d of %d workers; starting as many new ones", len(lost), len(wanted)
            )
            cluster.scale(len(wanted))
        elif not existing and not count:
            raise NoWorkersError(
                f"Dask has given up all workers of the cluster, and starts none: call its scale({len(wanted)})"
            )

    # Jobs of a queue

    def _note_change(self, count: int) -> None:
        """Workers have started or ended: remember which jobs have started one, and ask the queue soon."""
        if count < self._count:
            _LOG.warning("%d of %d workers are left", count, self._count)
        self._count = count
        self._poll_seconds, self._next_poll = QUEUE_POLL_SECONDS, time.monotonic() + QUEUE_POLL_SECONDS
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        names = [str(worker["name"]) for worker in workers]
        for name, job in self._jobs().items():
            if any(worker == name or worker.startswith(f"{name}-") for worker in names):
                self._started[name] = str(job.job_id)
                self._failed_starts = 0

    def _check_jobs(self, count: int) -> str | None:
        """Ask the queue, and replace jobs that have ended; gives why no worker will start, or None if one may."""
        jobs = self._jobs()
        known = {**job_states(jobs), **self._lost_jobs()}
        ended = {name: state for name, state in known.items() if state.is_over}
        if ended:
            self._ended_texts = _with_counts(
                _job_text(state, jobs.get(name)) for name, state in ended.items()
            )
        has_others = count > 0 or len(ended) < len(known) or _is_changing(self._cluster)
        if not self._owns_cluster:
            return None if has_others or self._adapts else self._no_jobs_text()
        if not ended:
            return None
        self._failed_starts += len(ended.keys() - self._started)
        is_hopeless = self._failed_starts >= MAX_FAILED_STARTS
        if not has_others and (is_hopeless or not self._started):
            return "All jobs ended without starting a worker"
        self._replace_jobs(ended, is_hopeless=is_hopeless)
        return None

    def _replace_jobs(self, ended: dict[str, JobState], *, is_hopeless: bool) -> None:
        states = "; ".join(_with_counts(map(str, ended.values())))
        if is_hopeless:
            _LOG.warning(
                "Jobs ended: %s. No new jobs are submitted, since the last ones started no worker", states
            )
        else:
            _LOG.warning("Jobs ended: %s. Submitting as many new jobs", states)
            self._cluster.sync(self._cluster.replace, list(ended))

    def _lost_jobs(self) -> dict[str, JobState]:
        """Jobs whose worker was gone for `lost-worker-timeout`: Dask forgets them, and only `adapt` submits others."""
        spec, jobs = self._cluster.worker_spec, self._jobs()
        return {
            name: JobState(id_, "GONE")
            for name, id_ in self._started.items()
            if name in spec and name not in jobs
        }

    def _no_jobs_text(self) -> str:
        if not self.expected:
            return "The cluster has no workers and submits no jobs: call its scale or adapt"
        return "All jobs of the cluster have ended, and it replaces none, since it does not adapt: call its adapt"

    def _jobs(self) -> dict[str, Any]:
        if self._cluster is None:
            return {}
        return {str(name): job for name, job in dict(self._cluster.workers).items()}


def _is_changing(cluster: Any) -> bool:
    """Whether workers are starting, or jobs are being submitted. The cluster lists them only when all of them have started."""
    # Private to distributed's `SpecCluster`: no public name says whether it is starting workers. If it changes, a run does not
    # wait for jobs that are being submitted. `test_jobs_that_are_still_on_their_way_to_the_queue_are_waited_for` notices.
    lock = getattr(cluster, "_lock", None)
    return lock is not None and bool(lock.locked())


def _with_counts(texts: Iterable[str]) -> list[str]:
    """Equal texts once, with their number: jobs that fail mostly fail for the same reason."""
    return [f"{count} times: {text}" if count > 1 else text for text, count in Counter(texts).items()]


def _job_text(state: JobState, job: Any, *, with_log: bool = False) -> str:
    has_log = job is not None and state.id and (state.is_over or (with_log and not state.state))
    tail = log_tail_text(job) if has_log else ""
    return f"{state}; the end of its log {tail}" if tail else str(state)
