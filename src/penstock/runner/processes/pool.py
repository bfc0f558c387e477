"""Worker processes that outlive a run, so that the next one does not wait for them to start.

`loky` starts processes that need no `__main__` guard, and notices when one is killed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from penstock.errors import NodeError
from penstock.graph.keys import told
from penstock.runner.processes import source_changes as sources
from penstock.runner.processes.environment import FIRST_ENVIRONMENT, AtStart, Surroundings, begin
from penstock.runner.processes.exchange import let_go_when_over
from penstock.runner.processes.shared_memory import remove_rooms_of

if TYPE_CHECKING:
    import loky

IDLE_SECONDS = 30.0
"""How long an idle worker waits for another run before it goes."""

WATCH_SECONDS = 0.5
"""How soon a worker notices that a run is over, or that the driver is gone."""


@dataclass(frozen=True)
class _Pool:
    """Workers, and what they were started for."""

    executor: loky.ProcessPoolExecutor
    setup: Callable[[], None] | None
    owner: int
    """The process that started them: a fork of it cannot use them."""
    changes: dict[str, int] = field(default_factory=dict)
    """When each source file was changed last, as far as it had been loaded when a run began."""

    def serves(self, max_workers: int, setup: Callable[[], None] | None) -> bool:
        """Whether they can be used here."""
        enough: bool = self.executor._max_workers >= max_workers
        return enough and self.owner == os.getpid() and self.setup == setup

    def is_outdated(self, changes: dict[str, int]) -> bool:
        """Whether they may have a module as it was before its file was changed."""
        return any(self.changes.get(path, time) != time for path, time in changes.items())


_idle: list[_Pool] = []
_idle_lock = threading.Lock()


class Lease:
    """A pool while one run uses it: the executor that Dask sees.

    Args:
        executor: The pool; it may have more workers than the run may use.
        max_workers: How many tasks Dask hands out at once.
    """

    def __init__(self, executor: loky.ProcessPoolExecutor, max_workers: int) -> None:
        self._executor = executor
        self._max_workers = max_workers
        self._key_by_task: dict[Future[Any], str] = {}

    def submit(self, execute: Callable[..., Any], tasks: list[tuple[Any, ...]]) -> Future[Any]:
        """Run one of Dask's batches, each of which is one task here; its key comes first."""
        task: Future[Any] = self._executor.submit(execute, tasks)
        self._key_by_task[task] = tasks[0][0]
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: Future[Any]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._key_by_task.pop(task, None)

    def unfinished(self) -> list[str]:
        """The tasks that have not come back with a result, in words."""
        return sorted(map(told, self._key_by_task.values()))

    @contextlib.contextmanager
    def finished(self) -> Iterator[None]:
        """Is left when none of the tasks runs any more, unless the pool broke or this process was interrupted."""
        try:
            yield
        except BrokenExecutor:
            raise
        except Exception:
            wait(list(self._key_by_task))
            raise


@contextlib.contextmanager
def leased(max_workers: int, setup: Callable[[], None] | None = None) -> Iterator[Lease]:
    """A pool of at least so many workers; kept for the next run, unless this one breaks or is interrupted.

    Args:
        max_workers: How many.
        setup: Called by each worker, first of all; a pool serves runs whose setup is equal.

    Raises:
        NodeError: A worker process was killed; it names the tasks that were running.
    """
    pool = _take(max_workers, setup)
    lease = Lease(pool.executor, max_workers)
    try:
        # When the run has ended, nothing of it goes on; who interrupts the wait for it ends it, too.
        with lease.finished():
            yield lease
        _keep(pool)
    except BrokenExecutor as error:
        pool.executor.shutdown(kill_workers=True)
        raise NodeError(
            " or ".join(lease.unfinished()),
            f"the worker process died ({_first_line(error)}); it may have been killed for want of memory",
        ) from error
    except Exception:
        _keep(pool)
        raise
    except BaseException:
        pool.executor.shutdown(kill_workers=True)
        raise


def _take(max_workers: int, setup: Callable[[], None] | None) -> _Pool:
    changes = sources.changes()
    pool = _found(max_workers, setup, changes) or _started(max_workers, setup)
    pool.changes.update(changes)
    return pool


def _found(max_workers: int, setup: Callable[[], None] | None, changes: dict[str, int]) -> _Pool | None:
    with _idle_lock:
        # Without those of which a worker was killed since the last run.
        _idle[:] = [pool for pool in _idle if not pool.executor._flags.broken]
        for pool in [pool for pool in _idle if pool.owner == os.getpid() and pool.is_outdated(changes)]:
            _idle.remove(pool)
            pool.executor.shutdown(wait=False)
        # The one that was used last, so that the others may go when they have been idle for long.
        found = next((pool for pool in reversed(_idle) if pool.serves(max_workers, setup)), None)
        if found is not None:
            _idle.remove(found)
        return found


def _started(max_workers: int, setup: Callable[[], None] | None) -> _Pool:
    # Here and not above: it takes a fifth of `import penstock`, and most runs do without.
    import loky  # noqa: PLC0415

    # A process of multiprocessing waits for its children before it asks loky to end them.
    Finalize(None, _close_idle, exitpriority=0)
    executor = loky.ProcessPoolExecutor(
        max_workers,
        timeout=IDLE_SECONDS,
        env=_environment(),
        initializer=_begin,
        initargs=(os.getpid(), FIRST_ENVIRONMENT, AtStart(), setup),
    )
    return _Pool(executor, setup, os.getpid())


def _begin(
    driver: int, first: dict[str, str], surroundings: Surroundings, setup: Callable[[], None] | None
) -> None:
    """The first thing that a worker does."""
    begin(first, surroundings)
    threading.Thread(target=_watch, args=(driver,), daemon=True, name="penstock-watch").start()
    if setup is not None:
        setup()


def _watch(driver: int) -> None:
    """Let go of what belongs to runs that are over, and end this worker when the driver was killed.

    Then nobody waits for what it does, and nobody else cleans up after it.
    """
    while os.getppid() == driver:
        time.sleep(WATCH_SECONDS)
        let_go_when_over()
    remove_rooms_of(driver)
    os._exit(1)


def _close_idle() -> None:
    with _idle_lock:
        mine = [pool for pool in _idle if pool.owner == os.getpid()]
        _idle.clear()
    for pool in mine:
        pool.executor.shutdown(kill_workers=True)


def _environment() -> dict[str, str]:
    """What workers find in their environment, unless the user has set it."""
    wanted = {
        # The same hashes in every worker, so that nodes that partition by hash agree.
        "PYTHONHASHSEED": "0",
        # Above 300 MB loky would take a node's data for a leak, warn, and start the worker anew.
        "LOKY_MAX_MEMORY_LEAK_SIZE": "1e18",
    }
    return {name: os.environ.get(name) or value for name, value in wanted.items()}


def _keep(pool: _Pool) -> None:
    with _idle_lock:
        _idle.append(pool)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
