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
from penstock.runner.cluster.workers.supervisor import Supervisor
from penstock.runner.cluster.workers.waiting import await_workers, watched
from penstock.runner.outputs import Fetched

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
            client, is_temporary = self._connected(stack)
            with self._watched(client, keys, is_ours=is_temporary):
                futures = computed(client, graph, keys, ends_with_cluster=is_temporary)
                values: Sequence[Data] = client.gather(futures)
                return values

    def backend(self, listener: Listener | None = None) -> Backend:
        """Dask moves values from worker to worker; news comes through the scheduler."""
        return ClusterBackend(f"penstock-{secrets.token_hex(8)}", listener)

    def execute(self, plan: Plan, backend: Backend) -> list[Deferred]:
        """The outputs in memory: fetched from a temporary cluster, and on any other left where they are until they are loaded."""
        with interruptible(), contextlib.ExitStack() as stack:
            client, is_temporary = self._connected(stack)
            self._check(client, plan, is_ours=is_temporary)
            watch = self._watched(client, plan.keys, is_ours=is_temporary)
            with watch, subscribed(client, backend, is_ours=is_temporary), placed(client, plan):
                futures = computed(client, plan.graph, plan.keys, ends_with_cluster=is_temporary)
            outputs = futures[: len(plan.outputs)]
            if is_temporary:
                return [Fetched(value) for value in client.gather(outputs)]
            return staying(stack.pop_all(), outputs) if outputs else []

    def _connected(self, stack: contextlib.ExitStack) -> tuple[Client, bool]:
        """A client of a cluster with a worker, and whether the cluster ends with it; what was opened here is closed by the stack."""
        seconds = worker_timeout(self._worker_timeout_seconds)
        if isinstance(self._client, Client):
            client, is_temporary = checked(self._client), False
        else:
            arguments = {"address": self._client} if self._client is not None else self._client_kwargs
            client, is_temporary = connected(arguments, stack, seconds)
        await_workers(client, Supervisor(client, is_ours=is_temporary), seconds)
        return client, is_temporary

    def _check(self, client: Client, plan: Plan, *, is_ours: bool) -> None:
        """Refuse, before the first task, a cluster that cannot run the plan."""
        if not (is_ours and isinstance(client.cluster, LocalCluster)):
            check_fit(client, plan)
        resources = resources_by_node(plan.policies)
        seconds = worker_timeout(self._worker_timeout_seconds)
        check_resources(client, Supervisor(client, is_ours=is_ours), seconds, resources)

    def _watched(
        self, client: Client, keys: Sequence[str], *, is_ours: bool
    ) -> contextlib.AbstractContextManager[None]:
        seconds = worker_timeout(self._worker_timeout_seconds)
        return watched(client, Supervisor(client, is_ours=is_ours), seconds, keys)

    def _arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {"client": self._client} if self._client is not None else {}
        if self._worker_timeout_seconds is not None:
            given["worker_timeout_seconds"] = self._worker_timeout_seconds
        return {**given, **self._client_kwargs, **super()._arguments()}
