"""A thread that runs for the length of a block of code, a thread pool that keeps context variables, and which threads get Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any


@contextlib.contextmanager
def background_thread(
    function: Callable[[], Any],
    name: str,
    stop: Callable[[], Any],
    *,
    should_join: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Run the function in a thread of its own while the block runs.

    The thread has a copy of the caller's context variables. In a notebook, its prints appear below the running cell.

    Args:
        function: Runs in the thread; it has to return soon after the call of `stop`.
        name: The name of the thread.
        stop: Called at the end of the block.
        should_join: Called after `stop`: whether to wait until the thread has ended.
    """
    thread = threading.Thread(target=copy_context().run, args=(function,), name=name, daemon=True)
    try:
        # Inside the `try`, since Ctrl-C can come while the thread starts.
        thread.start()
        yield
    finally:
        stop()
        # A thread whose start was interrupted cannot be joined.
        with contextlib.suppress(RuntimeError):
            thread.join(None if should_join() else 0)


class ContextPool(ThreadPoolExecutor):
    """A thread pool whose tasks see the context variables of the thread that submits them, as in Dask's own pools."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the function in a copy of this thread's context."""
        return super().submit(copy_context().run, fn, *args, **kwargs)


def block_interrupts() -> None:
    """Keep Ctrl-C from this thread, and from the threads and processes that it starts. The main thread still gets it."""
    if hasattr(signal, "pthread_sigmask"):
        # The resource tracker, if it starts later, lets the signal through again (multiprocessing/resource_tracker.py).
        # Imported on first use, as it imports a good part of multiprocessing, which most runs do without.
        from multiprocessing import resource_tracker  # noqa: PLC0415

        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextlib.contextmanager
def raising_on_ctrl_c() -> Iterator[None]:
    """Have Ctrl-C raise `KeyboardInterrupt` inside the block, also if the user has imported `dask_jobqueue`."""
    handler = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or getattr(handler, "__module__", None) != "dask_jobqueue.runner":
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
