"""The runner on a distributed cluster. Only this package imports `distributed`."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from distributed import Client, LocalCluster
from distributed.deploy import Cluster

from penstock.errors import RunnerError
from penstock.graph.policies import resources_by_node
from penstock.runner.abstract import AbstractRunner
from penstock.runner.cluster.backend import ClusterBackend, subscribed
from penstock.runner.cluster.checks.compatibility import check_fit, check_resources
from penstock.runner.cluster.connection.client import accepted, checked, connected
from penstock.runner.cluster.connection.settings import worker_timeout
from penstock.runner.cluster.connection.signals import interruptible
from penstock.runner.cluster.execution.placement import placed
from penstock.runner.cluster.execution.remote_values import staying
from penstock.runner.cluster.execution.submit import computed
from penstock.runner.cluster.session import ClusterSession
from penstock.runner.cluster.workers.supervisor import Supervisor
from penstock.runner.cluster.workers.waiting import await_workers, watched
from penstock.runs.result import Fetched

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.graph.plan import Plan
    from penstock.graph.policies import Policies
    from penstock.io.memory import Deferred
    from penstock.tasks.backend import Backend, Listener

__all__ = ["DaskRunner"]


class DaskRunner(AbstractRunner):
    """Runs nodes on the workers of a Dask cluster.

    Args:
        client: An open `Client`, a cluster object, or the scheduler's address. A client or cluster is left open. Outputs in
            memory stay on its workers until they are loaded.
        is_async: Each node loads its inputs at once and saves its outputs at once, in threads of its worker.
        worker_timeout_seconds: How long a run waits for a worker, at its beginning and when all have gone; by default what
            Dask's configuration says, which is an hour unless it was changed.
        policies: How nodes are run, by their names, namespaces or tags.
        progress: Show a bar, on a terminal or in a notebook.
        client_kwargs: What `distributed.Client` takes: `address`, `scheduler_file`, `security`, `n_workers`, ... Without an
            address or file it is a local cluster, which listens on loopback only, and is closed after the run.

    Without a client and `client_kwargs`, it is the cluster of the section `penstock` in Dask's configuration, or a local one.

    Raises:
        RunnerError: Arguments that do not go together, or are no client, cluster or address.
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
        if client is not None and client_kwargs:
            hint = f"write address={client!r}" if isinstance(client, str) else "give one or the other"
            raise RunnerError(
                f"DaskRunner was given a client and also {', '.join(sorted(client_kwargs))}; {hint}"
            )
        if not isinstance(client, Client | Cluster | str | None):
            raise RunnerError(
                f"DaskRunner takes a distributed Client, a cluster or an address, not a {type(client).__name__}"
            )
        if worker_timeout_seconds is not None:
            worker_timeout(worker_timeout_seconds)
        self._client = client
        self._client_kwargs = accepted({"client": client, **client_kwargs})
        self._worker_timeout_seconds = worker_timeout_seconds

    def get(self, graph: Mapping[str, Any], keys: Sequence[str]) -> Sequence[Data]:
        """The values of `keys`; when this raises, no task of the graph runs any more."""
        with interruptible(), contextlib.ExitStack() as stack:
            session = self._connected(stack)
            with watched(session, self._patience_seconds(), keys):
                values: Sequence[Data] = session.client.gather(computed(session, graph, keys))
                return values

    def backend(self, listener: Listener | None = None) -> Backend:
        """Dask moves values from worker to worker; news comes through the scheduler."""
        return ClusterBackend(f"penstock-{secrets.token_hex(8)}", listener)

    def execute(self, plan: Plan, backend: Backend) -> list[Deferred]:
        """The outputs in memory: fetched from a temporary cluster, and on any other left where they are until they are loaded."""
        with interruptible(), contextlib.ExitStack() as stack:
            session = self._connected(stack)
            self._check(session, plan)
            with (
                watched(session, self._patience_seconds(), plan.keys),
                subscribed(session, backend),
                placed(session.client, plan),
            ):
                futures = computed(session, plan.graph, plan.keys)
            outputs = futures[: len(plan.outputs)]
            if session.owns_cluster:
                return [Fetched(value) for value in session.client.gather(outputs)]
            return staying(stack.pop_all(), outputs) if outputs else []

    def _connected(self, stack: contextlib.ExitStack) -> ClusterSession:
        """A session on a cluster that has a worker. The stack closes what is opened here."""
        seconds = self._patience_seconds()
        if isinstance(self._client, Client):
            client, owns_cluster = checked(self._client), False
        else:
            arguments = {"address": self._client} if self._client is not None else self._client_kwargs
            client, owns_cluster = connected(arguments, stack, seconds)
        session = ClusterSession(client, owns_cluster, Supervisor(client, owns_cluster=owns_cluster))
        await_workers(session, seconds)
        return session

    def _check(self, session: ClusterSession, plan: Plan) -> None:
        """Refuse, before the first task, a cluster that cannot run the plan."""
        if not (session.owns_cluster and isinstance(session.client.cluster, LocalCluster)):
            check_fit(session.client, plan)
        check_resources(session, self._patience_seconds(), resources_by_node(plan.policies))

    def _patience_seconds(self) -> float:
        return worker_timeout(self._worker_timeout_seconds)

    def _arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {"client": self._client} if self._client is not None else {}
        if self._worker_timeout_seconds is not None:
            given["worker_timeout_seconds"] = self._worker_timeout_seconds
        return {**given, **self._client_kwargs, **super()._arguments()}
