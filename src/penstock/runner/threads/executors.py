"""A thread pool for `dask.threaded.get`, with only what Dask asks of one.

`dask.local.get_async` submits a batch of tasks, adds a callback to it at once, and asks for the results in the callback. A
`concurrent.futures.Future` supports much more; its locks and conditions take a tenth of the time of a run of small nodes.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

BUSY_POLL_SECONDS = 0.01
"""Polling interval while running batches finish."""

THREAD_END_SECONDS = 3.0
"""How long to wait for the end of an idle thread."""

Execute = Callable[[list[Any]], list[Any]]
"""Dask's function that runs the tasks of a batch and packs the exceptions that they raise."""


class Batch:
    """A batch of tasks. It is queued for a thread when its callback is known, so that it needs no lock."""

    __slots__ = ("_call_back", "_error", "_execute", "_queue", "_results", "_tasks")

    def __init__(self, queue: SimpleQueue[Any], execute: Execute, tasks: list[Any]) -> None:
        self._queue, self._execute, self._tasks = queue, execute, tasks
        self._results: list[Any] = []
        self._error: BaseException | None = None

    def add_done_callback(self, call_back: Callable[[Batch], None]) -> None:
        """Queue the batch; the thread that runs it calls back."""
        self._call_back = call_back
        self._queue.put(self)

    def run(self, context: Context) -> None:
        """Run the tasks in a copy of this context."""
        try:
            self._results = context.copy().run(self._execute, self._tasks)
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error

    def call_back(self) -> None:
        """Tell Dask that the batch is done, also if it failed."""
        self._call_back(self)

    def result(self) -> list[Any]:
        """One result for each task. An error outside of the tasks is raised."""
        if self._error is not None:
            raise self._error
        return self._results


class ThreadPool:
    """The pool that Dask submits batches to. Its threads inherit the context variables of the thread that makes it.

    Ctrl-C may interrupt any two lines of the thread that uses this, and must not leave threads that wait for ever.

    Args:
        max_workers: The most threads; each batch starts one until there are as many.
    """

    def __init__(self, max_workers: int) -> None:
        self._max_workers = max_workers
        self._shared = _Shared()
        self._threads: list[threading.Thread] = []
        # Also runs when the pool is garbage collected without `close`.
        self._end_threads = weakref.finalize(self, self._shared.queue.put, None)

    def close(self) -> None:
        """End the threads. When this returns, none of them runs a batch."""
        self._shared.is_closed = True
        self._end_threads()
        while self._shared.running:
            time.sleep(BUSY_POLL_SECONDS)
        for thread in self._threads:
            # A thread whose start was interrupted cannot be joined. A thread in a callback may wait for a lock of Dask's queue that
            # an interrupt has left locked: it runs no batch, so it is left behind after a while.
            with contextlib.suppress(RuntimeError):
                thread.join(THREAD_END_SECONDS)

    def submit(self, execute: Execute, tasks: list[Any]) -> Batch:
        """A batch for the next idle thread."""
        if len(self._threads) < self._max_workers:
            name = f"penstock_{len(self._threads)}"
            thread = threading.Thread(target=self._shared.run_batches, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return Batch(self._shared.queue, execute, tasks)


class _Shared:
    """The part of a pool that its threads refer to: not the pool itself, so that a pool without users is garbage collected."""

    def __init__(self) -> None:
        self.context = copy_context()
        self.queue: SimpleQueue[Batch | None] = SimpleQueue()
        self.running: list[Batch] = []
        self.is_closed = False

    def run_batches(self) -> None:
        """Run batches until None arrives, which is then passed on to the other threads."""
        while (batch := self.queue.get()) is not None:
            # Before looking at `is_closed`: `close` sets it first, and then waits for the running batches.
            self.running.append(batch)
            if not self.is_closed:
                batch.run(self.context)
            self.running.remove(batch)
            batch.call_back()
            # Or its values would stay in memory until the next batch arrives.
            del batch
        self.queue.put(None)
