"""Where Dask's schedulers of this process have tasks executed: at once, or in threads.

`dask.local.get_async` submits a batch of tasks, asks at once to be called back when it is done, and then for its results. That is
all that a batch here can do: the locks and conditions of a `concurrent.futures.Future` take a tenth of a run of small nodes.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

LOOK_SECONDS = 0.01
"""How often it is looked whether anything is still executed."""

END_SECONDS = 3.0
"""How long it is waited for the end of a thread that executes nothing."""

Execute = Callable[[list[Any]], list[Any]]
"""Dask's function that executes the tasks of a batch and packs what they raise."""


class BatchInThread:
    """A batch that waits for a thread from when it is known whom to call back, so that no lock is needed."""

    __slots__ = ("_call_back", "_error", "_execute", "_results", "_tasks", "_waiting")

    def __init__(self, waiting: SimpleQueue[Any], execute: Execute, tasks: list[Any]) -> None:
        self._waiting, self._execute, self._tasks = waiting, execute, tasks
        self._results: list[Any] = []
        self._error: BaseException | None = None

    def add_done_callback(self, call_back: Callable[[BatchInThread], None]) -> None:
        """Have a thread execute it and call back."""
        self._call_back = call_back
        self._waiting.put(self)

    def execute(self, context: Context) -> None:
        """Execute it in a copy of this context."""
        try:
            self._results = context.copy().run(self._execute, self._tasks)
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for it
            self._error = error

    def call_back(self) -> None:
        """Say that it is done, whatever has happened."""
        self._call_back(self)

    def result(self) -> list[Any]:
        """One result for each task, or what the executing itself raised."""
        if self._error is not None:
            raise self._error
        return self._results


@contextlib.contextmanager
def threads(max_workers: int) -> Iterator[Threads]:
    """Threads for one run; nothing is executed any more when this is left.

    Args:
        max_workers: How many at most; one is started with each batch until there are as many.
    """
    pool = Threads(max_workers)
    try:
        yield pool
    finally:
        pool.end()


class Threads:
    """What Dask calls a pool. Its threads see the context variables of whoever makes it.

    An interrupt may come between any two lines of the thread that calls this, and must not leave threads that wait for ever.
    """

    def __init__(self, max_workers: int) -> None:
        self._max_workers = max_workers
        self._shared = _Shared()
        self._threads: list[threading.Thread] = []
        # Called also if nobody calls `end`.
        self._dismiss = weakref.finalize(self, self._shared.waiting.put, None)

    def end(self) -> None:
        """End the threads; when this returns, they execute nothing any more."""
        self._shared.is_over = True
        self._dismiss()
        while self._shared.executing:
            time.sleep(LOOK_SECONDS)
        for thread in self._threads:
            # One whose start was interrupted cannot be joined. One that calls back may wait for a lock which an interrupt has
            # left taken, of the queue that Dask has just left: it executes nothing, and need not be waited for.
            with contextlib.suppress(RuntimeError):
                thread.join(END_SECONDS)

    def submit(self, execute: Execute, tasks: list[Any]) -> BatchInThread:
        """A batch for the next thread that has nothing to do."""
        if len(self._threads) < self._max_workers:
            name = f"penstock_{len(self._threads)}"
            thread = threading.Thread(target=self._shared.work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return BatchInThread(self._shared.waiting, execute, tasks)


class _Shared:
    """What threads know of their pool: not the pool itself, which is collected when nobody else knows it."""

    def __init__(self) -> None:
        self.context = copy_context()
        self.waiting: SimpleQueue[BatchInThread | None] = SimpleQueue()
        self.executing: list[BatchInThread] = []
        self.is_over = False

    def work(self) -> None:
        """Execute batches, until there is the word to end, which is for the other threads as well."""
        while (batch := self.waiting.get()) is not None:
            # Noted first: whoever says that it is over then looks what is still executing.
            self.executing.append(batch)
            if not self.is_over:
                batch.execute(self.context)
            self.executing.remove(batch)
            batch.call_back()
            # Or its values would be kept until the next one comes.
            del batch
        self.waiting.put(None)
