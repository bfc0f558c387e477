"""Wait for workers: before a run, and during a run when all workers have gone."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distributed import Future

from penstock._threads import background_thread, block_interrupts
from penstock.errors import NoWorkersError, UnfitWorkersError

if TYPE_CHECKING:
    from distributed import Client

    from penstock.runner.cluster.session import ClusterSession
    from penstock.runner.cluster.workers.supervisor import Supervisor
    from penstock.tasks.policy import NodePolicy

_LOG = logging.getLogger(__name__)

WORKER_POLL_SECONDS = 0.2
"""Polling interval, in seconds, while there is no worker."""

WORKER_CHECK_SECONDS = 1.0
"""Polling interval, in seconds, while a run has workers."""

FIRST_LOG_SECONDS = 2.0
"""How long a wait lasts before it is logged."""

LONGEST_LOG_PAUSE_SECONDS = 60.0
"""The longest pause between two log lines of one wait. Each pause is twice as long as the one before."""

WARNING_AFTER_SECONDS = 10.0
"""A longer wait is logged as a warning, which is seen although logging is not set up."""


class LogSchedule:
    """When a wait is logged, and at which level.

    Args:
        began: When the wait began, by the monotonic clock.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._pause_seconds = FIRST_LOG_SECONDS
        self._next = began + FIRST_LOG_SECONDS

    def is_due(self, now: float) -> bool:
        """Whether to log a line now. If so, the next pause is twice as long.

        Args:
            now: By the monotonic clock.
        """
        if now < self._next:
            return False
        self._pause_seconds = min(LONGEST_LOG_PAUSE_SECONDS, 2 * self._pause_seconds)
        self._next = now + self._pause_seconds
        return True

    def level(self, now: float) -> int:
        """The level of a line.

        Args:
            now: By the monotonic clock.
        """
        return logging.INFO if now - self._began < WARNING_AFTER_SECONDS else logging.WARNING


class LimitedWait:
    """A wait that logs what it waits for, and ends with an error after a time.

    Args:
        supervisor: Reports the jobs of the cluster.
        seconds: How long to wait.
    """

    def __init__(self, supervisor: Supervisor, seconds: float) -> None:
        self._supervisor = supervisor
        self._seconds = seconds
        self._began = time.monotonic()
        self._schedule = LogSchedule(self._began)

    def check(self, what: str) -> None:
        """Log the wait, if a line is due.

        Args:
            what: What is missing, in words.

        Raises:
            NoWorkersError: The time is over.
        """
        now = time.monotonic()
        if now - self._began >= self._seconds:
            raise NoWorkersError(
                f"Waited {self._seconds:g} s for {what}; worker_timeout_seconds sets how long",
                self._supervisor.job_texts(with_logs=True),
            )
        if self._schedule.is_due(now):
            jobs = "; ".join(self._supervisor.job_texts())
            text = f"{what} ({now - self._began:.0f} s so far, at most {self._seconds:g} s)"
            _LOG.log(self._schedule.level(now), "Still waiting for %s", f"{text}: {jobs}" if jobs else text)


@contextlib.contextmanager
def log_while_waiting(what: str) -> Iterator[None]:
    """Log what the block waits for, if the block takes long.

    Args:
        what: In words that follow "Still waiting for".
    """
    began, over = time.monotonic(), threading.Event()
    schedule = LogSchedule(began)

    def log() -> None:
        while not over.wait(WORKER_POLL_SECONDS):
            if schedule.is_due(now := time.monotonic()):
                _LOG.log(schedule.level(now), "Still waiting for %s (%.0f s so far)", what, now - began)

    with background_thread(log, "penstock-wait", over.set):
        yield


# Before a run


def wait_for_worker(session: ClusterSession, seconds: float) -> None:
    """Return as soon as the cluster has a worker.

    Args:
        session: The cluster.
        seconds: How long to wait.

    Raises:
        NoWorkersError: No worker starts in time, or none will start.
    """
    client, supervisor = session.client, session.supervisor
    if client.nthreads():
        return
    # A cluster that adapts starts no worker before there is a task.
    task = client.submit(os.getpid, key=f"(wait_for_workers-{secrets.token_hex(4)}-0)", pure=False)
    wait = LimitedWait(supervisor, seconds)
    while not supervisor.check():
        wait.check(_missing_worker_text(supervisor))
        time.sleep(WORKER_POLL_SECONDS)
    del task
    _LOG.info("%d of %d workers have started", len(client.nthreads()), max(1, supervisor.expected))


def _missing_worker_text(supervisor: Supervisor) -> str:
    return f"one of {supervisor.expected} workers" if supervisor.expected > 1 else "a worker"


def wait_for_resources(session: ClusterSession, seconds: float, policies: Mapping[str, NodePolicy]) -> None:
    """Return as soon as each node has a worker with all the resources that it needs.

    Args:
        session: The cluster.
        seconds: How long to wait for workers that the cluster may start.
        policies: The policies of the plan's nodes, by the names of the nodes.

    Raises:
        UnfitWorkersError: No worker has what a node needs, and the cluster starts no others.
        NoWorkersError: No such worker starts in time.
    """
    wanted = resources_by_node(policies)
    wait = LimitedWait(session.supervisor, seconds)
    while lacking := _lacking_resources(session.client, wanted):
        if not session.supervisor.may_grow:
            raise UnfitWorkersError(
                [f"node {node!r} needs {text}, which no worker has" for node, text in lacking.items()],
                'Start workers that have it, with `dask worker --resources "GPU=1"` for instance, or take it out of the policy',
            )
        session.supervisor.check()
        wait.check("a worker with " + " or ".join(sorted(set(lacking.values()))))
        time.sleep(WORKER_POLL_SECONDS)


def _lacking_resources(client: Client, wanted: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """The resources, as text, of each node that no worker can run."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values() if wanted else ()
    offers = [worker["resources"] for worker in workers]
    return {
        node: ", ".join(f"{name}={amount:g}" for name, amount in needed.items())
        for node, needed in wanted.items()
        if not any(all(offer.get(name, 0) >= needed[name] for name in needed) for offer in offers)
    }


def resources_by_node(policies: Mapping[str, NodePolicy]) -> dict[str, dict[str, float]]:
    """The resources that each node takes of its worker, without nodes that take none.

    Args:
        policies: By the names of the nodes.
    """
    return {name: dict(policy.resources) for name, policy in policies.items() if policy.resources}


# During a run


@contextlib.contextmanager
def watching_workers(session: ClusterSession, seconds: float, keys: Sequence[str]) -> Iterator[None]:
    """Watch the workers inside the block, in a thread; end the run if it has none for too long.

    Args:
        session: The cluster.
        seconds: How long the run may be without workers.
        keys: The keys that the run asks for.

    Raises:
        NoWorkersError: In place of the exception with which the run ends for this reason.
    """
    # Checked before any worker can be lost, to know which jobs have started one.
    session.supervisor.check()
    watch = WorkerWatch(session, seconds, keys)
    client = session.client
    # A request to a scheduler that has ended takes half a minute to fail; the block does not wait for the thread then.
    with background_thread(
        watch.run, "penstock-watch", watch.over.set, should_join=lambda: client.status == "running"
    ):
        try:
            yield
        except Exception as error:
            if watch.failure is not None:
                raise watch.failure from error
            raise


@dataclass
class WorkerWatch:
    """Checks again and again whether a run has workers; cancels the run if it has none for too long.

    Attributes:
        session: The cluster.
        seconds: How long the run may be without workers.
        keys: The keys that the run asks for.
        over: Ends `run`.
        failure: Why the run was cancelled.
    """

    session: ClusterSession
    seconds: float
    keys: Sequence[str]
    over: threading.Event = field(default_factory=threading.Event)
    failure: NoWorkersError | None = None

    def run(self) -> None:
        """Check the workers until `over` is set."""
        block_interrupts()
        client, supervisor = self.session.client, self.session.supervisor
        wait: LimitedWait | None = None
        while not self.over.wait(WORKER_CHECK_SECONDS):
            try:
                if supervisor.check():
                    wait = None
                    continue
                wait = wait or LimitedWait(supervisor, self.seconds)
                wait.check(_missing_worker_text(supervisor))
            except NoWorkersError as error:
                self.failure = error
                client.cancel([Future(key, client) for key in self.keys], force=True)
                return
            except Exception:  # noqa: BLE001 - if the scheduler does not answer, the run itself fails
                _LOG.debug("Could not count the workers", exc_info=True)
