"""Ctrl-C: who hears of it, and as what."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any

_lock = threading.Lock()


def block_interrupts() -> None:
    """Threads and processes started from this thread do not see Ctrl-C: the caller of `run` does, and closes them."""
    if hasattr(signal, "pthread_sigmask"):
        # Started later, it would let the signal through again (multiprocessing/resource_tracker.py).
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """What this thread imports meanwhile may set a handler for Ctrl-C, in vain.

    `dask_jobqueue` sets one that ends the process with exit code 0, and outside of the main thread it cannot even be
    imported, since nobody may set one there.
    """
    importer = threading.get_ident()

    def kept(number: int, handler: Any) -> Any:
        if threading.get_ident() == importer and number == signal.SIGINT:
            return signal.getsignal(number)
        return real(number, handler)

    with _lock:
        real = signal.signal
        signal.signal = kept  # type: ignore[assignment]
        try:
            yield
        finally:
            signal.signal = real


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C is a `KeyboardInterrupt`, also where somebody has imported `dask_jobqueue` before."""
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
