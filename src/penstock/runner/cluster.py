"""The runner on a distributed cluster: the one file that imports `distributed`."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import logging
import secrets
import signal
import socket
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import dask
from dask.sizeof import sizeof
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed, get_worker
from distributed.deploy import Cluster

from penstock.errors import ClusterError, NodeError, RunnerError
from penstock.graph.failures import carried
from penstock.graph.handover import Event, Handover, Listener
from penstock.graph.work import Held, opened
from penstock.io.memory import MemoryDataset
from penstock.runner.abstract import AbstractRunner, Here

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.graph.plan import Plan
    from penstock.io.memory import Deferred

_LOG = logging.getLogger(__name__)

DASHBOARD_PORT = 8787
"""Where Dask's users look for the dashboard."""

BIG_BYTES = 1_000_000
"""A free input above this size is sent to a worker instead of riding in the graph through the scheduler."""

POLL_SECONDS = 0.05


class DaskRunner(AbstractRunner):
    """Runs nodes on the workers of a Dask cluster.

    Args:
        client: An open `Client`, a cluster object, or the scheduler's address. A client or cluster is left open. Outputs in
            memory stay on its workers until they are loaded.
        is_async: Each node loads its inputs at once and saves its outputs at once, in threads of its worker.
        client_kwargs: What `distributed.Client` takes: `address`, `scheduler_file`, `security`, `n_workers`, ... Without an
            address or file it is a local cluster, which listens on loopback only, and is closed after the run.

    Raises:
        RunnerError: Arguments that do not go together, or are no client, cluster or address.
    """

    _is_synchronous = False

    def __init__(
        self, client: Client | Cluster | str | None = None, *, is_async: bool = False, **client_kwargs: Any
    ) -> None:
        super().__init__(is_async)
        if client is not None and client_kwargs:
            raise RunnerError(
                f"DaskRunner was given a client and also {', '.join(sorted(client_kwargs))}; give one or the other"
            )
        if not isinstance(client, Client | Cluster | str | None):
            raise RunnerError(
                f"DaskRunner takes a distributed Client, a cluster or an address, not a {type(client).__name__}"
            )
        self._client = client
        self._client_kwargs = client_kwargs

    def get(self, graph: Mapping[str, Any], keys: Sequence[str]) -> Sequence[Data]:
        """The values of `keys`; when this raises, no task of the graph runs any more."""
        with contextlib.ExitStack() as stack:
            client, is_temporary = self._connected(stack)
            futures = _computed(client, graph, keys, ends_with_cluster=is_temporary)
            values: Sequence[Data] = client.gather(futures)
            return values

    def handover(self, listener: Listener | None = None) -> Handover:
        """Dask moves values from worker to worker; news comes through the scheduler."""
        return Workers(f"penstock-{secrets.token_hex(8)}", listener)

    def compute(self, plan: Plan, handover: Handover) -> list[Deferred]:
        """The outputs in memory: fetched from a temporary cluster, and on any other left where they are until they are loaded."""
        with contextlib.ExitStack() as stack:
            client, is_temporary = self._connected(stack)
            with _subscribed(client, handover):
                futures = _computed(client, plan.graph, plan.keys, ends_with_cluster=is_temporary)
            outputs = futures[: len(plan.outputs)]
            if is_temporary:
                return [Here(value) for value in client.gather(outputs)]
            return Stay(stack.pop_all(), outputs).values if outputs else []

    def _connected(self, stack: contextlib.ExitStack) -> tuple[Client, bool]:
        """A client, and whether its cluster ends with it; what was opened here is closed by the stack."""
        if isinstance(self._client, Client):
            return _checked(self._client), False
        arguments = {"address": self._client} if self._client is not None else self._client_kwargs
        if not _is_temporary(arguments):
            return stack.enter_context(_client(arguments)), False
        client = _started(arguments, stack)
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        _LOG.info("Local cluster of %d workers, dashboard at %s", workers, client.dashboard_link)
        return client, True

    def _arguments(self) -> dict[str, Any]:
        given = {"client": self._client} if self._client is not None else {}
        return {**given, **self._client_kwargs, **super()._arguments()}


class Workers:
    """Values move from worker to worker; news goes to the scheduler, and from there to the driver.

    Args:
        topic: The scheduler's topic for the news of one run.
        listener: Who is told in the driver; it does not travel.
    """

    leaves_process = True
    copies = True
    may_repeat = True

    def __init__(self, topic: str, listener: Listener | None = None) -> None:
        self.topic = topic
        self.listener = listener

    def __reduce__(self) -> tuple[type[Workers], tuple[str]]:
        return Workers, (self.topic,)

    def where(self) -> str:
        """The worker's address."""
        worker = _worker()
        return worker.address if worker is not None else threading.current_thread().name

    def tell(self, event: Event) -> None:
        """Send the event to the scheduler, ahead of the news that this task is done."""
        worker = _worker()
        if worker is not None:
            worker.log_event(self.topic, list(event))
        elif self.listener is not None:
            self.listener(event)

    def raised(self, error: Exception, task: str) -> Exception:
        """The error packed for the way home."""
        return carried(error, task)


class Stay:
    """Outputs that stay on a cluster, and the client that keeps them there until the last one is fetched or forgotten.

    Args:
        stack: Closes the client, if it was opened for the run.
        futures: The outputs.
    """

    def __init__(self, stack: contextlib.ExitStack, futures: list[Future]) -> None:
        self._stack = stack
        self._lock = threading.Lock()
        self._left = len(futures)
        self.values: list[Deferred] = [Remote(self, future) for future in futures]

    def leave(self) -> None:
        """One output less."""
        with self._lock:
            self._left -= 1
            if self._left:
                return
        # In a thread of its own: the last output may be forgotten on the client's own loop, which closing waits for.
        threading.Thread(target=self._stack.close, name="penstock-close").start()


class Remote:
    """An output in a worker's memory."""

    def __init__(self, stay: Stay, future: Future) -> None:
        self.future = future
        self._leave = weakref.finalize(self, stay.leave)
        # At the end of the process Dask closes its clients itself.
        self._leave.atexit = False

    def is_on(self, client: Client) -> bool:
        """Whether the client's tasks can take the value where it is."""
        return self.future.client is client

    def fetch(self) -> Data:
        """The value, brought here."""
        value = self.future.result()
        self.future.release()
        self._leave()
        return value


def _worker() -> Any:
    try:
        return get_worker()
    except ValueError:
        return None


def _is_temporary(arguments: Mapping[str, Any]) -> bool:
    configured = dask.config.get("scheduler-address", None) or dask.config.get("scheduler_address", None)
    return not (arguments.get("address") or arguments.get("scheduler_file") or configured)


def _client(arguments: Mapping[str, Any]) -> Client:
    try:
        return Client(**arguments, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ClusterError(
            f"No Dask scheduler answers ({error}); is the cluster up, and the address right?"
        ) from error


def _started(arguments: Mapping[str, Any], stack: contextlib.ExitStack) -> Client:
    """A client of a new local cluster; both are closed by the stack.

    A thread starts them, so that Ctrl-C finds a whole cluster to close and not half a one.
    """
    if importlib.util.find_spec("bokeh") is None and arguments.get("dashboard_address"):
        raise ClusterError('The dashboard needs the package bokeh: pip install "penstock[dashboard]"')
    with ThreadPoolExecutor(1, initializer=_block_interrupts) as thread:
        starting = thread.submit(_start, arguments)
        try:
            cluster, client = starting.result()
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                for opened in reversed(starting.result()):
                    opened.close()
            raise
    stack.callback(cluster.close)
    stack.callback(client.close)
    return client


def _start(arguments: Mapping[str, Any]) -> tuple[LocalCluster, Client]:
    of_client = inspect.signature(Client).parameters
    given = {name: value for name, value in arguments.items() if name not in of_client}
    port = DASHBOARD_PORT if _is_free(DASHBOARD_PORT) else 0
    # On loopback only, as the cluster itself.
    cluster = LocalCluster(**{"dashboard_address": f"127.0.0.1:{port}", **given})
    rest = {name: value for name, value in arguments.items() if name in of_client}
    try:
        return cluster, Client(**{**rest, "address": cluster}, set_as_default=False)
    except BaseException:
        cluster.close()
        raise


def _block_interrupts() -> None:
    """Threads and processes started from this thread do not see Ctrl-C: the caller of `run` does, and closes them."""
    if hasattr(signal, "pthread_sigmask"):
        # Started later, it would let the signal through again (multiprocessing/resource_tracker.py).
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _checked(client: Client) -> Client:
    if client.status != "running":
        raise ClusterError(f"The client is {client.status}; give DaskRunner an open distributed.Client")
    if client.asynchronous:
        raise ClusterError(
            "The client is asynchronous; give DaskRunner a Client made without asynchronous=True"
        )
    return client


@contextlib.contextmanager
def _subscribed(client: Client, handover: Handover) -> Iterator[None]:
    """The handover's listener is told what workers tell, as it happens."""
    listener, topic = getattr(handover, "listener", None), getattr(handover, "topic", None)
    if listener is None or topic is None:
        yield
        return
    client.subscribe_topic(topic, lambda event: listener(Event(*event[1])))
    try:
        yield
    finally:
        client.unsubscribe_topic(topic)
        # The scheduler keeps the events of a topic for ever, unless somebody removes it.
        with contextlib.suppress(Exception):
            client.run_on_scheduler(_forget_topic, topic=topic)


def _forget_topic(topic: str, dask_scheduler: Any) -> None:
    dask_scheduler._broker._topics.pop(topic, None)


def _computed(
    client: Client, graph: Mapping[str, Any], keys: Sequence[str], *, ends_with_cluster: bool
) -> list[Future]:
    """Futures of the keys, all of them finished; when this raises, no task of the graph runs any more.

    Unless tasks end with the cluster, which is closed next and kills what still runs.
    """
    small, kept = _scattered(client, graph)
    futures: list[Future] = client.get(small, list(keys), sync=False)
    try:
        _wait(client, futures)
    except BaseException:
        if not ends_with_cluster:
            _stop(client, futures, frozenset(small))
        raise
    del kept
    return futures


def _scattered(client: Client, graph: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Future]]:
    """The graph without its large data, which is on a worker, and what keeps it there."""
    data = {key: task.value for key, task in graph.items() if hasattr(task, "value")}
    resident = {key: remote for key, value in data.items() if (remote := _remote(client, value)) is not None}
    big = {key: value for key, value in data.items() if key not in resident and sizeof(value) > BIG_BYTES}
    kept: dict[str, Future] = client.scatter(big, hash=False) if big else {}
    for key, remote in resident.items():
        kept[key] = client.submit(_hold, remote.future, data[key].dataset.copy_mode, key=key)
    return {key: task for key, task in graph.items() if key not in kept}, kept


def _remote(client: Client, value: Any) -> Remote | None:
    """What an earlier run left on this very cluster, if that is what a free input holds."""
    deferred = getattr(getattr(value, "dataset", None), "deferred", None)
    remote = getattr(deferred, "value", None)
    return remote if isinstance(remote, Remote) and remote.is_on(client) else None


def _hold(data: Data, copy_mode: str | None) -> Held:
    return Held(MemoryDataset(opened(data), copy_mode))


def _wait(client: Client, futures: list[Future]) -> None:
    for future in as_completed(futures, loop=client.loop):
        if future.status == "error":
            raise _cause(future)
        if future.status != "finished":
            raise ClusterError(
                f"The scheduler gave up task {future.key} ({future.status}); is the cluster still up?"
            )


def _cause(future: Future) -> BaseException:
    error: BaseException = future.exception()
    if isinstance(error, KilledWorker):
        return NodeError(
            f"task {error.task}", f"it may have killed its workers, the last one {error.last_worker}: {error}"
        )
    return error


def _stop(client: Client, futures: list[Future], keys: frozenset[str]) -> None:
    """Return when no worker runs any of the keys, nor will."""
    with contextlib.suppress(OSError, TimeoutError):
        client.cancel(futures, force=True)
        seconds = POLL_SECONDS
        while any(client.run(_known, keys=keys, on_error="ignore").values()):
            time.sleep(seconds)
            seconds = min(1.0, 2 * seconds)


def _known(keys: frozenset[str], dask_worker: Any) -> bool:
    return not keys.isdisjoint(dask_worker.state.tasks)
