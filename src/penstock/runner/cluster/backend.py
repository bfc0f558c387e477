"""The backend of tasks on a cluster's workers, and how their events and logs reach the driver."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.protocol.pickle import dumps, loads

from penstock._threads import background_thread
from penstock.logs.records import Levels
from penstock.runner.cluster.logs import close_channel, deliver_batch, open_channel, worker_channel
from penstock.runner.cluster.session import (
    CleanupPlugin,
    clean_up_scheduler,
    listening_to_topic,
    remove_worker_plugin,
    send_to_workers,
)
from penstock.tasks.backend import Backend, Event, Listener, send_unfinished_lines
from penstock.tasks.exceptions import pack_error

if TYPE_CHECKING:
    from penstock.logs.channel import Channel
    from penstock.runner.cluster.session import ClusterSession

_LOG = logging.getLogger(__name__)

MESSAGE_DELAY_SECONDS = 0.02
"""How late the driver may handle a message of a worker."""


_PROCESS = secrets.token_hex(8)
"""Distinguishes processes, also of different machines; forks differ by their process id."""


class ClusterBackend:
    """Values move from worker to worker; events go to the scheduler, and from there to the driver.

    Args:
        topic: The scheduler's topic for the events of one run.
        listener: Called in the driver with each event. It is not pickled.
    """

    leaves_process = True
    copies = True
    may_repeat = True

    def __init__(self, topic: str, listener: Listener | None = None) -> None:
        self.topic = topic
        self.listener = listener
        self.begun: set[str] = set()

    def __reduce__(self) -> tuple[type[ClusterBackend], tuple[str]]:
        return ClusterBackend, (self.topic,)

    def worker_name(self) -> str:
        """The worker's address."""
        worker = _this_worker()
        return worker.address if worker is not None else threading.current_thread().name

    def report(self, event: Event) -> None:
        """Send the event to the scheduler, before the scheduler learns that the task is done.

        Args:
            event: A task that is done.
        """
        send_unfinished_lines(self, event.node)
        worker = _this_worker()
        if worker is not None:
            worker.log_event(self.topic, list(event))
        elif self.listener is not None:
            self.listener(event)

    def channel(self) -> Channel | None:
        """Sends logs to the same topic, if this worker is not in the driver's process."""
        return worker_channel(self.topic, _this_worker())

    def is_stopped(self) -> bool:
        """Whether the scheduler has cancelled the task of this thread."""
        worker = _this_worker()
        task = worker.state.tasks.get(worker.get_current_task()) if worker is not None else None
        return task is not None and task.state == "cancelled"

    def stop(self) -> None:
        """Do nothing: the driver cancels the tasks."""

    def exception_for_driver(self, error: BaseException, task: str) -> BaseException:
        """The error, packed so that it can be pickled.

        Args:
            error: What the task raised.
            task: The task, in words.
        """
        send_unfinished_lines(self)
        return pack_error(error, task)


def _this_worker() -> Any:
    try:
        return get_worker()
    except ValueError:
        return None


@contextlib.contextmanager
def listening_to_workers(session: ClusterSession, backend: Backend) -> Iterator[None]:
    """Call the backend's listener with the workers' events inside the block, and deliver in the driver what nodes log and print.

    Args:
        session: The cluster.
        backend: The backend of the run.
    """
    listener = backend.listener
    if listener is None or not isinstance(backend, ClusterBackend):
        yield
        return

    def handle(message: Any) -> None:
        if isinstance(message, bytes):
            deliver_batch(message)
        else:
            listener(Event(*message))

    with (
        handling_in_thread(handle) as put,
        listening_to_topic(session.client, backend.topic, put),
        sending_logs(session, backend.topic),
    ):
        yield


@contextlib.contextmanager
def handling_in_thread(handle: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """Handle messages in a thread, one after the other; gives the function that takes a message.

    The block ends when all messages are handled. A client has one loop for all that it does, which must not wait for a user's log
    handler. In a notebook, what the thread prints appears below the cell that runs, not below the cell that made the client.

    Args:
        handle: Called with each message.
    """
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    end, is_over = object(), threading.Event()

    def run() -> None:
        while (message := messages.get()) is not end:
            try:
                handle(message)
            except Exception:  # noqa: BLE001
                # Whatever a user's handler, filter or display raises: the messages that follow are handled all the same.
                _LOG.exception("Could not handle a message of a worker")
            if messages.empty():
                # A thread that wakes up for each of many messages needs as much time for that as for the messages.
                is_over.wait(MESSAGE_DELAY_SECONDS)

    def stop() -> None:
        messages.put(end)
        is_over.set()

    with background_thread(run, "penstock-events", stop):
        yield messages.put


# What nodes log and print


@contextlib.contextmanager
def sending_logs(session: ClusterSession, topic: str) -> Iterator[None]:
    """Have workers send what nodes log and print to the topic, inside the block.

    A worker plugin brings the driver's log levels to the workers, also to those that start later, and restores the workers' own at
    the end.

    Args:
        session: The cluster.
        topic: The topic of the run.
    """
    plugin = _LogPlugin(topic, Levels.here(), this_process())
    client = session.client
    cleanup = None if session.ends_with_run else dumps(CleanupPlugin(topic, client.id))
    try:
        client.run_on_scheduler(_add, name=topic, plugin=dumps(plugin), cleanup=cleanup)
        yield
    finally:
        if not session.ends_with_run:
            clean_up_scheduler(client, remove_worker_plugin, name=topic)


# Dask's own `register_plugin` fails if a worker dies at that moment, and waits for a worker that does not answer.


async def _add(name: str, plugin: bytes, cleanup: bytes | None, dask_scheduler: Any) -> None:
    if cleanup is not None:
        dask_scheduler.add_plugin(loads(cleanup), name=name, idempotent=True)
    dask_scheduler.worker_plugins[name] = plugin
    await send_to_workers(dask_scheduler, {"op": "plugin-add", "plugin": plugin, "name": name})


class _LogPlugin(WorkerPlugin):  # type: ignore[misc]  # distributed ships no types
    """Opens a channel on each worker that is in another process than the driver."""

    def __init__(self, topic: str, levels: Levels, driver: tuple[str, int]) -> None:
        self._topic = topic
        self._levels = levels
        self._driver = driver

    def setup(self, worker: Any) -> None:
        if this_process() != self._driver:
            open_channel(worker, self._topic, self._levels)

    def teardown(self, worker: Any) -> None:
        close_channel(worker, self._topic)


def this_process() -> tuple[str, int]:
    """What tells this process from all others, also of other machines."""
    return _PROCESS, os.getpid()
