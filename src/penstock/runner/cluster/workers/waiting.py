"""Waiting for workers: before a run, and while it goes on, when all of them have gone."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from distributed import Future

from penstock._threads import background_thread
from penstock.errors import NoWorkersError
from penstock.runner.cluster.connection.signals import block_interrupts

if TYPE_CHECKING:
    from penstock.runner.cluster.session import ClusterSession
    from penstock.runner.cluster.workers.supervisor import Supervisor

_LOG = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""How soon it is looked again whether a worker has come."""

WATCH_SECONDS = 1.0
"""How soon it is looked again whether workers are still there."""

FIRST_WORD_SECONDS = 2.0
"""How long nothing is said about waiting; after that, each time after twice as long, up to the longest silence."""

LONGEST_SILENCE_SECONDS = 60.0

LONG_SECONDS = 10.0
"""Whoever waits longer is warned, and so hears of it also where nobody has set up logging."""


class Silence:
    """How long nothing is said about a wait.

    Args:
        began: When it began, by the monotonic clock.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._seconds = FIRST_WORD_SECONDS
        self._ends = began + FIRST_WORD_SECONDS

    def is_over(self, now: float) -> bool:
        """Whether it is time to say something; the next silence is twice as long then."""
        if now < self._ends:
            return False
        self._seconds = min(LONGEST_SILENCE_SECONDS, 2 * self._seconds)
        self._ends = now + self._seconds
        return True

    def level(self, now: float) -> int:
        """Of what is said."""
        return logging.INFO if now - self._began < LONG_SECONDS else logging.WARNING


class Patience:
    """A wait that says what it waits for, and ends.

    Args:
        supervisor: Knows the cluster.
        seconds: How long to wait.
    """

    def __init__(self, supervisor: Supervisor, seconds: float) -> None:
        self._keeper = supervisor
        self._seconds = seconds
        self._began = time.monotonic()
        self._silence = Silence(self._began)

    def go_on(self, what: str) -> None:
        """Say what is waited for, if it is time to.

        Raises:
            NoWorkersError: It has been waited for long enough.
        """
        now = time.monotonic()
        if now - self._began >= self._seconds:
            raise NoWorkersError(
                f"Waited {self._seconds:g} s for {what}; worker_timeout_seconds sets how long",
                self._keeper.said(with_logs=True),
            )
        if self._silence.is_over(now):
            said = "; ".join(self._keeper.said())
            _LOG.log(
                self._silence.level(now),
                "Waiting for %s since %.0f s, for at most %g s%s",
                what,
                now - self._began,
                self._seconds,
                f": {said}" if said else "",
            )


@contextlib.contextmanager
def log_while_waiting(what: str) -> Iterator[None]:
    """While this is open for long, it is said what is waited for.

    Args:
        what: Is done, in words that go on after "Waiting for".
    """
    began, over = time.monotonic(), threading.Event()
    silence = Silence(began)

    def speak() -> None:
        while not over.wait(POLL_SECONDS):
            if silence.is_over(now := time.monotonic()):
                _LOG.log(silence.level(now), "Waiting for %s since %.0f s", what, now - began)

    with background_thread(speak, "penstock-wait", over.set):
        yield


def await_workers(session: ClusterSession, seconds: float) -> None:
    """Return when there is a worker.

    Raises:
        NoWorkersError: None came in time, or none will come.
    """
    client, supervisor = session.client, session.supervisor
    if client.nthreads():
        return
    # A cluster that adapts starts no worker before there is something to do.
    something = client.submit(os.getpid, key=f"(wait_for_workers-{secrets.token_hex(4)}-0)", pure=False)
    patience = Patience(supervisor, seconds)
    while not supervisor.look():
        patience.go_on(_wanted(supervisor))
        time.sleep(POLL_SECONDS)
    del something
    _LOG.info("Workers that are there: %d of %d", len(client.nthreads()), max(1, supervisor.expected))


def _wanted(supervisor: Supervisor) -> str:
    return f"one of {supervisor.expected} workers" if supervisor.expected > 1 else "a worker"


class Watch:
    """Looks whether there are workers while a run goes on, in a thread of its own; without any for long, it ends the run.

    Args:
        session: The cluster.
        seconds: How long the run may be without workers.
        keys: What the run asks for, and is cancelled to end it.
    """

    def __init__(self, session: ClusterSession, seconds: float, keys: Sequence[str]) -> None:
        self._client = session.client
        self._keeper = session.supervisor
        self._seconds = seconds
        self._keys = keys
        self._over = threading.Event()
        self.failure: NoWorkersError | None = None

    def run(self) -> None:
        """Look, until `stop` is called."""
        block_interrupts()
        patience: Patience | None = None
        while not self._over.wait(WATCH_SECONDS):
            try:
                if self._keeper.look():
                    patience = None
                    continue
                patience = patience or Patience(self._keeper, self._seconds)
                patience.go_on(_wanted(self._keeper))
            except NoWorkersError as error:
                self.failure = error
                self._client.cancel([Future(key, self._client) for key in self._keys], force=True)
                return
            except Exception:  # noqa: BLE001 - no scheduler answers: the run itself hears of it
                _LOG.debug("Nobody tells how many workers there are", exc_info=True)

    def stop(self) -> None:
        """Look no more."""
        self._over.set()


@contextlib.contextmanager
def watched(session: ClusterSession, seconds: float, keys: Sequence[str]) -> Iterator[None]:
    """While this is open, somebody looks whether there are workers.

    Raises:
        NoWorkersError: In place of what is raised when the run is ended for this reason.
    """
    # Once before anything can be lost, to know which jobs have had a worker.
    session.supervisor.look()
    watch = Watch(session, seconds, keys)
    client = session.client
    # Whoever asks a scheduler that is gone gets no answer for half a minute, and then does nothing.
    with background_thread(
        watch.run, "penstock-watch", watch.stop, should_join=lambda: client.status == "running"
    ):
        try:
            yield
        except Exception as error:
            if watch.failure is not None:
                raise watch.failure from error
            raise


def awaited(supervisor: Supervisor, seconds: float, what: str, is_there: Callable[[], bool]) -> bool:
    """Whether something is there, now or as soon as workers have come that are on their way.

    Args:
        supervisor: Knows the cluster.
        seconds: How long to wait.
        what: What is waited for, in words.
        is_there: Looks.
    """
    patience = Patience(supervisor, seconds)
    while not is_there():
        if not supervisor.may_grow:
            return False
        supervisor.look()
        patience.go_on(what)
        time.sleep(POLL_SECONDS)
    return True
