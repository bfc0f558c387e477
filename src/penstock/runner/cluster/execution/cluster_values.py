"""Values that are on a cluster's workers and not in the driver: outputs in memory, and large free inputs."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dask.sizeof import sizeof
from dask.utils import format_bytes
from distributed import Client, Future, Variable, get_worker, worker_client

from penstock.graph.taskspec import data_of, new_data, new_task
from penstock.io.kedro_objects import data_in_memory
from penstock.io.memory import MemoryDataset
from penstock.runner.cluster.session import listening_to_topic
from penstock.runs.result import RunValue
from penstock.tasks.values import DatasetValue, SentValue, always_travels, unwrap_value

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.io.memory import Deferred

LARGE_INPUT_BYTES = 1_000_000
"""The driver sends a free input above this size to a worker; a smaller one travels inside the graph, through the scheduler."""

DESCRIBE_SECONDS = 2.0
"""How long the `repr` of an output waits for the scheduler."""

RESEND_SECONDS = 300.0
"""How long a worker waits for the driver to send an input again."""


# Outputs


def remote_values(stack: contextlib.ExitStack, futures: list[Future]) -> list[Deferred]:
    """Outputs that stay on the cluster until they are loaded.

    Args:
        stack: Closes the connection to the cluster. It is closed when the last output is fetched or garbage-collected.
        futures: The futures of the outputs.
    """
    connection = _SharedConnection()
    # At the end of the process Dask closes its clients itself.
    weakref.finalize(connection, _close_in_thread, stack).atexit = False
    return [RemoteValue(connection, future) for future in futures]


class _SharedConnection:
    """Refers to nothing: the connection is closed when no output refers to this object any more."""


def _close_in_thread(stack: contextlib.ExitStack) -> None:
    # The client's own loop may garbage-collect the last output, and closing waits for that loop.
    threading.Thread(target=stack.close, name="penstock-close").start()


class RemoteValue:
    """An output in a worker's memory.

    Args:
        connection: Keeps the client of the future open.
        future: The output.
    """

    def __init__(self, connection: _SharedConnection, future: Future) -> None:
        self.future = future
        self._connection: _SharedConnection | None = connection

    def describe(self) -> str:
        """Which worker has the value, and how large it is; less if the cluster does not answer."""
        client, key = self.future.client, self.future.key
        text = "on the cluster"
        if client.status != "running" or client.asynchronous:
            return text
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            ask = partial(client.sync, callback_timeout=DESCRIBE_SECONDS, keys=[key])
            workers, size = ask(client.scheduler.who_has), ask(client.scheduler.nbytes, summary=False)
            text += f": worker {', '.join(workers[key])}, {format_bytes(size[key])}"
        return text

    def fetch(self) -> Data:
        """Bring the value to this process, and release it on the cluster."""
        value = self.future.result()
        self.future.release()
        self._connection = None
        return value


# Large free inputs


@contextlib.contextmanager
def sending_free_inputs(client: Client, graph: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Send free inputs. Inside the block large ones are kept on workers; it gets the graph, in which others that may not travel are bytes.

    Args:
        client: Connected to the cluster.
        graph: A Dask graph.
    """
    on_cluster, in_driver, in_graph = _find_inputs(client, graph)
    # A cluster forgets a value as soon as no client has a future of it.
    sent = client.scatter(dict(in_driver), hash=False) if in_driver else {}
    with _sending_lost_inputs(client, in_driver) as requests:
        others = {key: task for key, task in graph.items() if key not in on_cluster}
        yield {**others, **in_graph, **requests}
    del on_cluster, sent


def _find_inputs(
    client: Client, graph: Mapping[str, Any]
) -> tuple[dict[str, Future], dict[str, Data], dict[str, Any]]:
    """The free inputs: outputs of earlier runs that are on this cluster; large values of this process; others, to be sent as bytes."""
    on_cluster: dict[str, Future] = {}
    in_driver: dict[str, Data] = {}
    in_graph: dict[str, Any] = {}
    for key, value in data_of(graph).items():
        if not isinstance(value, DatasetValue):
            # In a graph of the user's own.
            continue
        dataset: Any = value.dataset
        deferred = getattr(dataset, "deferred", None)
        remote = deferred.source if isinstance(deferred, RunValue) else None
        if isinstance(remote, RemoteValue) and remote.future.client is client:
            on_cluster[key] = client.submit(_in_dataset, remote.future, dataset.copy_mode, key=key)
            continue
        if deferred is not None:
            # An output that is on another cluster, or belongs to another client: this brings it to this process.
            unwrap_value(value)
        data = data_in_memory(dataset)
        sent = SentValue(value, kind=type(data).__name__)
        if sizeof(value) > LARGE_INPUT_BYTES:
            in_driver[key] = sent
        elif not always_travels(data):
            in_graph[key] = new_data(key, sent)
    return on_cluster, in_driver, in_graph


def _in_dataset(data: Data, copy_mode: str | None) -> DatasetValue:
    return DatasetValue(MemoryDataset(unwrap_value(data), copy_mode))


@contextlib.contextmanager
def _sending_lost_inputs(client: Client, inputs: Mapping[str, Data]) -> Iterator[dict[str, Any]]:
    """Send inputs again inside the block, when workers ask for them; gives the tasks that ask, one for each input."""
    if not inputs:
        yield {}
        return
    sender = _Sender(client, inputs)
    with listening_to_topic(client, sender.topic, sender.answer), contextlib.closing(sender):
        yield {key: new_task(key, _Request(sender.topic, key)) for key in inputs}


class _Sender:
    """The driver's side: sends inputs that died with their workers."""

    def __init__(self, client: Client, inputs: Mapping[str, Data]) -> None:
        self.topic = f"penstock-inputs-{secrets.token_hex(8)}"
        self._client = client
        self._inputs = inputs
        self._sent: dict[str, Future] = {}
        """The futures of what was sent, by the names of the variables through which workers get them."""
        self._lock = threading.Lock()
        self._is_closed = False

    def answer(self, request: tuple[str, str]) -> None:
        """Send the input that a worker asks for, in a thread: this is called on the client's own loop."""
        threading.Thread(target=self._send, args=request, name="penstock-send", daemon=True).start()

    def _send(self, key: str, variable: str) -> None:
        # If the run is over or the scheduler has ended, the run itself reports it.
        with contextlib.suppress(Exception):
            future = self._client.scatter(self._inputs[key], hash=False)
            with self._lock:
                if not self._is_closed:
                    self._sent[variable] = future
                    Variable(variable, self._client).set(future)

    def close(self) -> None:
        """Delete what was sent from the cluster."""
        with self._lock, contextlib.suppress(Exception):
            self._is_closed = True
            if self._client.status == "running":
                for variable in self._sent:
                    Variable(variable, self._client).delete()


@dataclass(frozen=True)
class _Request:
    """The worker's side: how Dask computes an input that died with its worker. It asks the driver."""

    topic: str
    key: str

    def __call__(self) -> Data:
        variable = f"{self.topic}-{secrets.token_hex(4)}"
        get_worker().log_event(self.topic, [self.key, variable])
        with worker_client() as client:
            return Variable(variable, client).get(timeout=RESEND_SECONDS).result()
