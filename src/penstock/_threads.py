"""A thread that does something as long as a block of code takes."""

from __future__ import annotations

import contextlib
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
    waits: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """While this is open, the function runs in a thread of its own, in the context of whoever opens this.

    In a notebook, what it prints so appears below the cell that runs.

    Args:
        function: Returns soon after `stop` was called.
        name: Of the thread.
        stop: Called when this is left.
        waits: Whether to wait for the thread then.
    """
    thread = threading.Thread(target=copy_context().run, args=(function,), name=name, daemon=True)
    try:
        # In here, since Ctrl-C may come while it starts.
        thread.start()
        yield
    finally:
        stop()
        # One whose start was interrupted cannot be joined.
        with contextlib.suppress(RuntimeError):
            thread.join(None if waits() else 0)


class ContextPool(ThreadPoolExecutor):
    """Threads that see the context variables of whoever submits, as Dask's own do."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the function in a copy of this thread's context."""
        return super().submit(copy_context().run, fn, *args, **kwargs)
