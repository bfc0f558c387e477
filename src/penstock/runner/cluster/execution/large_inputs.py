"""Large free inputs: put on a worker once, and there again when that worker dies."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask.sizeof import sizeof
from distributed import Client, Future, Variable, get_worker, worker_client

from penstock.graph.taskspec import data_of, new_task
from penstock.io.memory import MemoryDataset
from penstock.runner.cluster.backend import told
from penstock.runner.cluster.execution.remote_values import Remote
from penstock.tasks.values import DatasetValue, unwrapped

if TYPE_CHECKING:
    from penstock._typing import Data

BIG_BYTES = 1_000_000
"""A free input above this size is sent to a worker instead of riding in the graph through the scheduler."""

DELIVERY_SECONDS = 300.0
"""How long a worker waits until the driver has sent an input again."""


@contextlib.contextmanager
def delivered(client: Client, graph: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The graph without its large data, which is on a worker while this is open, and comes again if that worker dies."""
    data = data_of(graph)
    resident = {key: remote for key, value in data.items() if (remote := _remote(client, value)) is not None}
    for value in (value for key, value in data.items() if key not in resident):
        _fetch(value)
    big = {key: value for key, value in data.items() if key not in resident and sizeof(value) > BIG_BYTES}
    # Held here: a cluster forgets what nobody holds.
    held = [
        client.submit(_hold, remote.future, data[key].dataset.copy_mode, key=key)
        for key, remote in resident.items()
    ]
    small = {key: task for key, task in graph.items() if key not in resident}
    if not big:
        yield small
    else:
        sender = _Sender(client, big)
        held += client.scatter(big, hash=False).values()
        recipes = {key: new_task(key, _Again(sender.topic, key)) for key in big}
        with told(client, sender.topic, sender.asked):
            try:
                yield {**small, **recipes}
            finally:
                sender.close()
    del held


def _remote(client: Client, value: Any) -> Remote | None:
    """What an earlier run left on this very cluster, if that is what a free input holds."""
    deferred = getattr(getattr(value, "dataset", None), "deferred", None)
    remote = getattr(deferred, "value", None)
    return remote if isinstance(remote, Remote) and remote.is_on(client) else None


def _fetch(value: Any) -> None:
    """Bring here what an earlier run has left on another cluster, or for another client: from here it is sent."""
    if getattr(getattr(value, "dataset", None), "deferred", None) is not None:
        unwrapped(value)


def _hold(data: Data, copy_mode: str | None) -> DatasetValue:
    return DatasetValue(MemoryDataset(unwrapped(data), copy_mode))


class _Sender:
    """Sends inputs that were lost, from the driver, which has them still."""

    def __init__(self, client: Client, data: Mapping[str, Data]) -> None:
        self.topic = f"penstock-inputs-{secrets.token_hex(8)}"
        self._client = client
        self._data = data
        self._sent: dict[str, Future] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def asked(self, message: tuple[str, str]) -> None:
        """A worker asks for an input; it is sent in a thread, since this is the client's own loop."""
        threading.Thread(target=self._send, args=message, name="penstock-send", daemon=True).start()

    def _send(self, key: str, name: str) -> None:
        # The run is over, or the scheduler gone: the run itself hears of it.
        with contextlib.suppress(Exception):
            sent = self._client.scatter(self._data[key], hash=False)
            with self._lock:
                if not self._is_closed:
                    self._sent[name] = sent
                    Variable(name, self._client).set(sent)

    def close(self) -> None:
        """Leave nothing of it on the cluster."""
        with self._lock, contextlib.suppress(Exception):
            self._is_closed = True
            if self._client.status == "running":
                for name in self._sent:
                    Variable(name, self._client).delete()


@dataclass(frozen=True)
class _Again:
    """How Dask computes an input that died with its worker: it asks the driver."""

    topic: str
    key: str

    def __call__(self) -> Data:
        name = f"{self.topic}-{secrets.token_hex(4)}"
        get_worker().log_event(self.topic, [self.key, name])
        with worker_client() as client:
            return Variable(name, client).get(timeout=DELIVERY_SECONDS).result()
