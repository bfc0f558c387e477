"""What a worker process does besides tasks: how it starts, and how it notices that runs, or the driver, have ended."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from penstock.runner.processes.exchange import release_ended_runs
from penstock.runner.processes.shared_memory import remove_run_folders_of

WATCH_SECONDS = 0.5
"""A worker notices the end of a run, or of the driver, at most this much later."""


def start_worker(driver: int, path: Sequence[str], setup: Callable[[], None] | None) -> None:
    """Called in each worker process before its first task.

    Args:
        driver: The process id of the driver.
        path: The driver's `sys.path`.
        setup: What the runner wants each worker to call.
    """
    sys.path[:] = path
    threading.Thread(target=_watch, args=(driver,), daemon=True, name="penstock-watch").start()
    if setup is not None:
        setup()


def _watch(driver: int) -> None:
    """End this worker when the driver was killed: no one waits for its results any more, and no one else removes its files."""
    while os.getppid() == driver:
        time.sleep(WATCH_SECONDS)
        release_ended_runs()
    remove_run_folders_of(driver)
    os._exit(1)
