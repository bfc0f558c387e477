"""What nodes log and print on a cluster's workers, on its way to the driver: as events of the run's topic.

A plugin, registered for the time of the run, brings the driver's levels to the workers, also to those that come later, and
leaves them as they were. What is said is sent at once when it is quiet, and else in batches, a few a second; who says more than
a scheduler ought to carry is cut short, and it is said how much was left out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import secrets
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin
from distributed.protocol.pickle import dumps, loads

from penstock.graph.taskspec import work_of
from penstock.logs import records
from penstock.logs.capture import start_capture, stop_capture
from penstock.logs.channel import Channel
from penstock.runner.cluster.broadcast import tell, tidy, withdraw
from penstock.tasks.base import Work

if TYPE_CHECKING:
    from penstock.logs.records import Levels, Message
    from penstock.runner.cluster.session import ClusterSession

_LOG = logging.getLogger(__name__)

BATCH_SECONDS = 0.1
"""A worker sends something for a run at most so often."""

WINDOW_SECONDS = 10.0
WINDOW_BYTES = 4_000_000
"""What a worker sends for a run in each such time, some 10,000 records; what is more is counted, and left out."""

_PROCESS = secrets.token_hex(8)
"""Tells processes apart, also those of different machines; forks differ by their process id."""


class EventChannel(Channel):
    """A worker's side.

    Args:
        levels: What the driver wants to hear of.
        worker: Sends the events.
        topic: Of the run.
    """

    def __init__(self, levels: Levels, worker: Any, topic: str) -> None:
        super().__init__(levels)
        self._worker = worker
        self._topic = topic
        self._process = os.getpid()
        self._batch: list[bytes] = []
        self._sent_at = 0.0
        self._window_began = 0.0
        self._window_bytes = 0
        self._left_out = 0
        self._is_closed = False

    def close(self) -> None:
        """Send nothing any more: the scheduler would make the topic anew, of which nobody hears."""
        with self._lock:
            self._is_closed, self._batch = True, []

    def is_usable(self) -> bool:
        """Whether this is the worker's process: a fork of it has the channel, but not the event loop that sends."""
        return os.getpid() == self._process

    def only_node(self) -> str:
        """The node whose task is the only one that the worker executes; on the worker's own thread, none."""
        tasks = list(self._worker.state.executing)
        if len(tasks) != 1 or threading.get_ident() == self._worker.thread_id:
            return ""
        work = work_of(tasks[0].run_spec)
        if isinstance(work, Work) and getattr(work.context.backend, "topic", "") == self._topic:
            return work.node.name
        return ""

    def send(self, message: Message) -> None:
        """Send the message, at once or with others that follow soon."""
        packed = pickle.dumps(message, protocol=5)
        with self._lock:
            now = time.monotonic()
            if now - self._window_began > WINDOW_SECONDS:
                self._tell_what_is_left_out()
                self._window_began, self._window_bytes = now, 0
            if self._window_bytes + len(packed) > WINDOW_BYTES:
                self._left_out += 1
            else:
                self._window_bytes += len(packed)
                self._append(packed)

    def _append(self, packed: bytes) -> None:
        if self._is_closed:
            return
        self._batch.append(packed)
        if len(self._batch) == 1:
            seconds = max(0.0, self._sent_at + BATCH_SECONDS - time.monotonic())
            self._worker.loop.add_callback(self._worker.loop.call_later, seconds, self.flush)

    def _tell_what_is_left_out(self) -> None:
        if not self._left_out:
            return
        text = "%s: %d records or prints were left out here: a worker sends at most %d bytes in %g s"
        arguments = (self._worker.address, self._left_out, WINDOW_BYTES, WINDOW_SECONDS)
        record = _LOG.makeRecord(_LOG.name, logging.WARNING, __file__, 0, text, arguments, None)
        self._left_out = 0
        self._append(pickle.dumps(records.record_message(record), protocol=5))

    def flush(self) -> None:
        """Send what waits; only on the worker's own thread, since Dask sends at once what comes from there, and all else later."""
        with self._lock:
            if self._batch:
                self._worker.log_event(self._topic, pickle.dumps(self._batch, protocol=5))
                self._batch, self._sent_at = [], time.monotonic()

    def finish(self, node: str) -> None:
        """Send all that a node has said, before anybody hears that it is done."""
        super().finish(node)
        with self._lock:
            self._tell_what_is_left_out()
            if self._batch:
                self._worker.loop.add_callback(self.flush)


def deliver_all(batch: bytes) -> None:
    """Deliver in the driver what a worker has sent."""
    records.deliver(map(pickle.loads, pickle.loads(batch)))


_channels: dict[str, dict[str, EventChannel]] = {}
"""By topic, and then by worker, of which a process may have several."""


def channel_of(topic: str, worker: Any) -> Channel | None:
    """The way to the driver of the run from a process of its workers; None if that is the driver's own.

    Args:
        topic: Of the run.
        worker: On which a node speaks; None in threads which do not know that.
    """
    channels = _channels.get(topic, {})
    found = channels.get(worker.address) if worker is not None else next(iter(channels.values()), None)
    return found if found is not None and found.is_usable() else None


@contextlib.contextmanager
def logging_to(session: ClusterSession, topic: str) -> Iterator[None]:
    """While this is open, what nodes of the run say on workers is sent to the run's topic.

    Args:
        session: The cluster.
        topic: Of the run.
    """
    plugin = _Logs(topic, records.Levels.here(), _this_process())
    client = session.client
    leaver = None if session.owns_cluster else dumps(_Leaver(topic, client.id))
    try:
        client.run_on_scheduler(_add, name=topic, plugin=dumps(plugin), leaver=leaver)
        yield
    finally:
        if not session.owns_cluster:
            tidy(client, _remove, name=topic)


# The scheduler's own way to add a plugin fails when a worker dies meanwhile, and waits for one that does not answer.


async def _add(name: str, plugin: bytes, leaver: bytes | None, dask_scheduler: Any) -> None:
    if leaver is not None:
        dask_scheduler.add_plugin(loads(leaver), name=name, idempotent=True)
    dask_scheduler.worker_plugins[name] = plugin
    await tell(dask_scheduler, {"op": "plugin-add", "plugin": plugin, "name": name})


async def _remove(name: str, dask_scheduler: Any) -> None:
    dask_scheduler.plugins.pop(name, None)
    await withdraw(name, dask_scheduler)


class _Leaver(SchedulerPlugin):  # type: ignore[misc]  # distributed ships no types
    """Has the workers leave a run whose driver was killed as they leave one that has ended."""

    def __init__(self, topic: str, client: str) -> None:
        self.name = topic
        self._client = client

    def remove_client(self, scheduler: Any, client: str) -> None:
        if client == self._client:
            scheduler.loop.add_callback(_leave, self.name, scheduler)


async def _leave(topic: str, scheduler: Any) -> None:
    await _remove(topic, scheduler)
    scheduler._broker._topics.pop(topic, None)


class _Logs(WorkerPlugin):  # type: ignore[misc]  # distributed ships no types
    """Opens a channel on each worker that is in another process than the driver."""

    def __init__(self, topic: str, levels: Levels, driver: tuple[str, int]) -> None:
        self._topic = topic
        self._levels = levels
        self._driver = driver

    def setup(self, worker: Any) -> None:
        if _this_process() == self._driver:
            return
        channel = EventChannel(self._levels, worker, self._topic)
        start_capture(channel)
        _channels.setdefault(self._topic, {})[worker.address] = channel

    def teardown(self, worker: Any) -> None:
        channel = _channels.get(self._topic, {}).pop(worker.address, None)
        if channel is not None:
            stop_capture(channel)
            channel.close()
        if not _channels.get(self._topic):
            _channels.pop(self._topic, None)


def _this_process() -> tuple[str, int]:
    return _PROCESS, os.getpid()
