"""How work on a cluster's workers reaches the driver."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from distributed import get_worker

from penstock._threads import background_thread
from penstock.runner.cluster.broadcast import tidy
from penstock.runner.cluster.logs import channel_of, deliver_all, logging_to
from penstock.tasks.backend import Backend, Event, Listener, send_unfinished_lines
from penstock.tasks.exceptions import pack_error

if TYPE_CHECKING:
    from distributed import Client

    from penstock.logs.channel import Channel
    from penstock.runner.cluster.session import ClusterSession

_LOG = logging.getLogger(__name__)

PAUSE_SECONDS = 0.02
"""By so much news may be late in the driver."""


class ClusterBackend:
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

    def __reduce__(self) -> tuple[type[ClusterBackend], tuple[str]]:
        return ClusterBackend, (self.topic,)

    def worker_name(self) -> str:
        """The worker's address."""
        worker = _worker()
        return worker.address if worker is not None else threading.current_thread().name

    def report(self, event: Event) -> None:
        """Send the event to the scheduler, ahead of the news that this task is done."""
        send_unfinished_lines(self, event.node)
        worker = _worker()
        if worker is not None:
            worker.log_event(self.topic, list(event))
        elif self.listener is not None:
            self.listener(event)

    def channel(self) -> Channel | None:
        """Events of the same topic, on a worker in another process than the driver's."""
        return channel_of(self.topic, _worker())

    def is_stopped(self) -> bool:
        """Whether the scheduler has taken back the task of this thread."""
        worker = _worker()
        task = worker.state.tasks.get(worker.get_current_task()) if worker is not None else None
        return task is not None and task.state == "cancelled"

    def stop(self) -> None:
        """Nothing: the driver cancels the tasks, and the scheduler takes them back from their workers."""

    def exception_for_driver(self, error: BaseException, task: str) -> BaseException:
        """The error packed for the way home."""
        send_unfinished_lines(self)
        return pack_error(error, task)


def _worker() -> Any:
    try:
        return get_worker()
    except ValueError:
        return None


@contextlib.contextmanager
def subscribed(session: ClusterSession, backend: Backend) -> Iterator[None]:
    """The backend's listener is told what workers tell, as it happens, and what nodes log and print there is delivered here.

    Args:
        session: The cluster.
        backend: Of the run.
    """
    listener = backend.listener
    if listener is None or not isinstance(backend, ClusterBackend):
        yield
        return

    def take(message: Any) -> None:
        if isinstance(message, bytes):
            deliver_all(message)
        else:
            listener(Event(*message))

    with (
        in_turn(take) as put,
        told(session.client, backend.topic, put),
        logging_to(session, backend.topic),
    ):
        yield


@contextlib.contextmanager
def in_turn(take: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """Takes messages on a thread of its own, all of them before this is left; gives what to call with each.

    A client has one loop for all that it does, which must not wait for somebody's log handler; and what is printed in a
    notebook appears below the cell that runs, not below the one in which the client was made.
    """
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    end, is_over = object(), threading.Event()

    def run() -> None:
        while (message := messages.get()) is not end:
            try:
                take(message)
            except Exception:  # noqa: BLE001
                # Whatever a handler, a filter or a display of the user's does: the news that follows is taken all the same.
                _LOG.exception("What a worker has told could not be taken")
            if messages.empty():
                # A thread that wakes for each of many messages takes as long as all else that is done with them.
                is_over.wait(PAUSE_SECONDS)

    def stop() -> None:
        messages.put(end)
        is_over.set()

    with background_thread(run, "penstock-news", stop):
        yield messages.put


@contextlib.contextmanager
def told(client: Client, topic: str, listener: Callable[[Any], None]) -> Iterator[None]:
    """While this is open, the listener is told what workers say on the topic, on the client's loop."""
    try:
        client.subscribe_topic(topic, lambda event: listener(event[1]))
        yield
    finally:
        # The scheduler keeps the events of a topic for ever, unless somebody removes it, and the subscription with it:
        # `unsubscribe_topic` takes another way there, and would make the topic anew when it comes second.
        tidy(client, _forget_topic, topic=topic)
        # Nor does the client forget the listener, which knows the catalog with all that it holds.
        getattr(client, "_event_handlers", {}).pop(topic, None)


def _forget_topic(topic: str, dask_scheduler: Any) -> None:
    dask_scheduler._broker._topics.pop(topic, None)
