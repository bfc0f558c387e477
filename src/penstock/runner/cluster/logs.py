"""Capture what nodes log and print on a cluster's worker, and send it to the driver as events of the run's topic.

A worker sends a single line at once, and many lines in batches, a few a second. A worker that sends more than a scheduler should
carry leaves lines out, and reports how many.
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
import time
from typing import TYPE_CHECKING, Any

from penstock.graph.taskspec import work_of
from penstock.logs import records
from penstock.logs.capture import start_capture, stop_capture
from penstock.logs.channel import Channel
from penstock.runner.cluster.execution.exchange import SentWork

if TYPE_CHECKING:
    from penstock.logs.records import Levels, Message

_LOG = logging.getLogger(__name__)

LOG_BATCH_SECONDS = 0.1
"""The shortest time between two batches that a worker sends for a run."""

LOG_WINDOW_SECONDS = 10.0
LOG_WINDOW_BYTES = 4_000_000
"""The most that a worker sends for a run in each window, some 10,000 records. It leaves the rest out, and counts it."""


class EventChannel(Channel):
    """Sends what nodes log and print on a worker to the run's topic.

    Args:
        levels: The log levels of the driver.
        worker: Dask's worker, which sends the events.
        topic: The topic of the run.
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
        """Send nothing any more: the scheduler would create the topic again, without a subscriber."""
        with self._lock:
            self._is_closed, self._batch = True, []

    def is_usable(self) -> bool:
        """Whether this is the worker's process. A fork of it has the channel, but not the event loop that sends."""
        return os.getpid() == self._process

    def only_node(self) -> str:
        """The node whose task is the only one that the worker runs; empty if there are several, and on the worker's own thread."""
        tasks = list(self._worker.state.executing)
        if len(tasks) != 1 or threading.get_ident() == self._worker.thread_id:
            return ""
        work = work_of(tasks[0].run_spec)
        return work.node if isinstance(work, SentWork) and work.topic == self._topic else ""

    def send(self, message: Message) -> None:
        """Send the message, at once or in a batch with others that follow soon.

        Args:
            message: A log record or printed text.
        """
        packed = pickle.dumps(message, protocol=5)
        with self._lock:
            now = time.monotonic()
            if now - self._window_began > LOG_WINDOW_SECONDS:
                self._report_left_out()
                self._window_began, self._window_bytes = now, 0
            if self._window_bytes + len(packed) > LOG_WINDOW_BYTES:
                self._left_out += 1
            else:
                self._window_bytes += len(packed)
                self._append(packed)

    def _append(self, packed: bytes) -> None:
        if self._is_closed:
            return
        self._batch.append(packed)
        if len(self._batch) == 1:
            seconds = max(0.0, self._sent_at + LOG_BATCH_SECONDS - time.monotonic())
            self._worker.loop.add_callback(self._worker.loop.call_later, seconds, self.flush)

    def _report_left_out(self) -> None:
        if not self._left_out:
            return
        text = "%s: %d records or prints were left out: a worker sends at most %d bytes in %g s"
        arguments = (self._worker.address, self._left_out, LOG_WINDOW_BYTES, LOG_WINDOW_SECONDS)
        record = _LOG.makeRecord(_LOG.name, logging.WARNING, __file__, 0, text, arguments, None)
        self._left_out = 0
        self._append(pickle.dumps(records.record_message(record), protocol=5))

    def flush(self) -> None:
        """Send the batch. Called on the worker's own thread only: Dask sends at once from there, and later from other threads."""
        with self._lock:
            if self._batch:
                self._worker.log_event(self._topic, pickle.dumps(self._batch, protocol=5))
                self._batch, self._sent_at = [], time.monotonic()

    def finish(self, node: str) -> None:
        """Send everything that a node has logged and printed, before the driver learns that the node is done.

        Args:
            node: The name of the node.
        """
        super().finish(node)
        with self._lock:
            self._report_left_out()
            if self._batch:
                self._worker.loop.add_callback(self.flush)


def deliver_batch(batch: bytes) -> None:
    """Log and print in the driver what nodes have logged and printed on a worker.

    Args:
        batch: What a worker has sent.
    """
    records.deliver(map(pickle.loads, pickle.loads(batch)))


_channels: dict[str, dict[str, EventChannel]] = {}
"""The channels of this process by topic, and then by the address of the worker, of which a process may have several."""


def worker_channel(topic: str, worker: Any) -> Channel | None:
    """The channel from this process to the driver of a run; None in the driver's own process.

    Args:
        topic: The topic of the run.
        worker: Dask's worker on which a node runs; None in a thread that does not know its worker.
    """
    channels = _channels.get(topic, {})
    found = channels.get(worker.address) if worker is not None else next(iter(channels.values()), None)
    return found if found is not None and found.is_usable() else None


def open_channel(worker: Any, topic: str, levels: Levels) -> None:
    """Capture what this process logs and prints, and send it to the topic.

    Args:
        worker: Dask's worker, which sends the events.
        topic: The topic of the run.
        levels: The log levels of the driver.
    """
    channel = EventChannel(levels, worker, topic)
    start_capture(channel)
    _channels.setdefault(topic, {})[worker.address] = channel


def close_channel(worker: Any, topic: str) -> None:
    """Undo `open_channel`.

    Args:
        worker: Dask's worker.
        topic: The topic of the run.
    """
    channel = _channels.get(topic, {}).pop(worker.address, None)
    if channel is not None:
        stop_capture(channel)
        channel.close()
    if not _channels.get(topic):
        _channels.pop(topic, None)
