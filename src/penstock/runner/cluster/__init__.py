"""Runs nodes on a Dask cluster. No other package imports `distributed`."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distributed import Client, LocalCluster

from penstock._threads import raising_on_ctrl_c
from penstock.runner.abstract import AbstractRunner
from penstock.runner.cluster.backend import ClusterBackend, listening_to_workers
from penstock.runner.cluster.checks import check_compatibility
from penstock.runner.cluster.connection.client import connect, names_scheduler
from penstock.runner.cluster.connection.settings import (
    check_client,
    check_kept_cluster,
    client_arguments,
    worker_timeout,
)
from penstock.runner.cluster.execution.exchange import remote_values
from penstock.runner.cluster.execution.submit import compute, placing_nodes
from penstock.runner.cluster.session import ClusterSession
from penstock.runner.cluster.workers.supervisor import Supervisor
from penstock.runner.cluster.workers.waiting import wait_for_resources, wait_for_worker, watching_workers
from penstock.runner.lifetime import log_what_opening_saves
from penstock.runs.result import Fetched

if TYPE_CHECKING:
    from distributed.deploy import Cluster

    from penstock._typing import Data
    from penstock.graph.plan import Plan
    from penstock.graph.policies import Policies
    from penstock.io.memory import Deferred
    from penstock.tasks.backend import Backend, Listener

__all__ = ["DaskRunner"]


class DaskRunner(AbstractRunner):
    """Runs nodes on the workers of a Dask cluster.

    Without `client` and `client_kwargs` the runner starts the cluster that the section `penstock` of Dask's configuration describes,
    or else a local cluster. A run starts it and closes it; an open runner keeps it for all runs inside its block, so that the jobs of a
    queue are submitted once. The runner leaves open what it is given.

    Args:
        client: An open `distributed.Client`, a cluster object, or the address of a scheduler. The outputs in memory stay on the
            workers of that cluster until they are loaded.
        is_async: Each node loads its inputs at the same time and saves its outputs at the same time, in threads of its worker.
        worker_timeout_seconds: How long a run waits for a worker, when it starts and when all workers have gone. The default is
            `penstock.worker-timeout-seconds` in Dask's configuration, which is an hour unless you change it.
        policies: How nodes run: a `NodePolicy`, or a dict of its fields, by the name of a node, a namespace or a tag.
        progress: Show a progress bar, on a terminal or in a notebook.
        client_kwargs: Arguments of `distributed.Client`: `address`, `scheduler_file`, `security`, `n_workers`, ... Without an
            address or a scheduler file they start a local cluster, which listens on loopback only.

    Raises:
        RunnerError: Arguments exclude each other, or one is not of its type.

    Example:
        >>> from penstock import DaskRunner, DataCatalog
        >>> from penstock.pipeline import node, pipeline
        >>> count = node(len, "text", "length", name="count")
        >>> runner = DaskRunner(n_workers=1, processes=False, dashboard_address="127.0.0.1:0")
        >>> runner.run(pipeline([count]), DataCatalog({"text": "penstock"}))["length"].load()
        8
    """

    _is_synchronous = False
    _places_nodes = True

    def __init__(
        self,
        client: Client | Cluster | str | None = None,
        *,
        is_async: bool = False,
        worker_timeout_seconds: float | None = None,
        policies: Policies | None = None,
        progress: bool = False,
        **client_kwargs: Any,
    ) -> None:
        super().__init__(is_async, policies=policies, progress=progress)
        self._client_kwargs = client_arguments(client, client_kwargs)
        if worker_timeout_seconds is not None:
            worker_timeout(worker_timeout_seconds)
        self._client = client
        self._worker_timeout_seconds = worker_timeout_seconds

    def get(self, graph: Mapping[str, Any], keys: Sequence[str]) -> Sequence[Data]:
        """Run a graph on the cluster. If this raises, no task of the graph runs any more.

        Args:
            graph: A Dask graph.
            keys: Keys of the graph.

        Returns:
            The values of the keys, in their order.

        Raises:
            ClusterError: The cluster does not start or answer, or has no workers for too long.
            NodeError: A task was on several workers when they died.
            Exception: What a task raised.
        """
        with raising_on_ctrl_c(), contextlib.ExitStack() as stack:
            session = self._session(stack)
            stack.enter_context(self._preparing(session, stack))
            with watching_workers(session, self._timeout_seconds(), keys):
                return list(session.client.gather(compute(session, graph, keys, set())))

    def backend(self, listener: Listener | None = None) -> Backend:
        """The backend of the tasks of one run. Dask moves their values from worker to worker.

        Args:
            listener: Called in the driver with the event of each task.

        Returns:
            A backend whose events reach the driver through the scheduler.
        """
        return ClusterBackend(f"penstock-{secrets.token_hex(8)}", listener)

    def execute(self, plan: Plan, backend: Backend) -> list[Deferred]:
        """Run a plan on the cluster.

        Args:
            plan: What to run.
            backend: The one that `backend` made for this run.

        Returns:
            The outputs in memory. They are fetched at once if the runner owns the cluster, and otherwise when they are loaded.

        Raises:
            ClusterError: The cluster does not start or answer, cannot run the plan, or has no workers for too long.
            NodeError: A task was on several workers when they died.
            Exception: What a task raised.
        """
        with raising_on_ctrl_c(), contextlib.ExitStack() as stack:
            session = self._session(stack)
            with self._preparing(session, stack):
                self._check(session, plan)
                with (
                    watching_workers(session, self._timeout_seconds(), plan.keys),
                    listening_to_workers(session, backend),
                    placing_nodes(session.client, plan),
                ):
                    futures = compute(session, plan.graph, plan.keys, backend.begun)
            outputs = futures[: len(plan.outputs)]
            if session.owns_cluster:
                return [Fetched(value) for value in session.client.gather(outputs)]
            return remote_values(stack.pop_all(), outputs) if outputs else []

    def _session(self, stack: contextlib.ExitStack) -> ClusterSession:
        """The cluster for one run."""
        began = time.perf_counter()
        session = self._connected(stack)
        if session.ends_with_run:
            log_what_opening_saves(self._log, type(self).__name__, "a cluster", time.perf_counter() - began)
        return session

    def _connected(self, stack: contextlib.ExitStack) -> ClusterSession:
        """A session on a cluster that has a worker. The stack closes what is opened here; an open runner's cluster stays open."""
        kept: ClusterSession | None = self._kept()
        if kept is not None:
            check_kept_cluster(kept.client)
            wait_for_worker(kept, self._timeout_seconds())
            return kept
        seconds = self._timeout_seconds()
        if isinstance(self._client, Client):
            check_client(self._client)
            client, owns_cluster = self._client, False
        else:
            arguments = {"address": self._client} if self._client is not None else self._client_kwargs
            client, owns_cluster = connect(arguments, stack, seconds)
        supervisor = Supervisor(client, owns_cluster=owns_cluster)
        session = ClusterSession(client, owns_cluster, supervisor, ends_with_run=owns_cluster)
        wait_for_worker(session, seconds)
        return session

    def _start_kept(self, stack: contextlib.ExitStack) -> ClusterSession | None:
        """The cluster, if the runner starts one."""
        if self._client is not None or names_scheduler(self._client_kwargs):
            return None
        with raising_on_ctrl_c():
            return replace(self._connected(stack), ends_with_run=False)

    def _preparing(
        self,
        session: ClusterSession,  # noqa: ARG002 - for subclasses
        stack: contextlib.ExitStack,  # noqa: ARG002
    ) -> contextlib.AbstractContextManager[object]:
        """A block around the check and the tasks of one run. What the outputs need as well, until they are fetched, goes on the stack."""
        return contextlib.nullcontext()

    def _check(self, session: ClusterSession, plan: Plan) -> None:
        """Refuse, before the first task, a cluster that cannot run the plan."""
        if not (session.owns_cluster and isinstance(session.client.cluster, LocalCluster)):
            check_compatibility(session.client, plan)
        wait_for_resources(session, self._timeout_seconds(), plan.policies)

    def _timeout_seconds(self) -> float:
        return worker_timeout(self._worker_timeout_seconds)

    def _arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {"client": self._client} if self._client is not None else {}
        if self._worker_timeout_seconds is not None:
            given["worker_timeout_seconds"] = self._worker_timeout_seconds
        return {**given, **self._client_kwargs, **super()._arguments()}
