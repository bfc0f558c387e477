"""Worker processes: for one run, or for all runs of an open runner.

`loky` starts processes that need no `__main__` guard, and notices when one is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, wait
from multiprocessing import connection
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from penstock.errors import NodeError, RunnerError
from penstock.graph.keys import task_text
from penstock.runner.processes.exchange import DriverExchange, release_ended_runs
from penstock.runner.processes.shared_memory import remove_run_folders

if TYPE_CHECKING:
    import loky

WATCH_SECONDS = 0.5
"""A worker notices the end of a run, or of the driver, at most this much later."""

Setup = Callable[[], None] | None
"""What each worker calls when it starts."""


class WorkerPool:
    """Worker processes. They have the driver's environment variables, import path and working folder of the moment they start.

    Args:
        max_workers: The number of processes.
        setup: What each of them calls first.
        starts: How many start at once, if not all; `start_up_to` starts more.
    """

    def __init__(self, max_workers: int, setup: Setup = None, *, starts: int | None = None) -> None:
        # Imported here and not above: it takes a fifth of `import penstock`, and most runs do without.
        import loky  # noqa: PLC0415

        self.setup = setup
        self.runs = 0
        """How many runs use the processes."""
        self.start_seconds = 0.0
        """How long it took until the first process was ready; 0 until then."""
        began = time.perf_counter()
        self.executor: loky.ProcessPoolExecutor = loky.ProcessPoolExecutor(
            max_workers,
            env=changed_environment(),
            initializer=_start_worker,
            initargs=(os.getpid(), import_path(), setup),
        )
        # Also called when this process ends; never in a fork of it. A process that `multiprocessing` has started waits for its
        # children before loky would end them: hence the priority.
        self._finalize = Finalize(None, self.executor.shutdown, kwargs={"kill_workers": True}, exitpriority=0)
        try:
            self.start_up_to(starts or max_workers).add_done_callback(lambda _: self._note_start(began))
        except BaseException:
            self.close()
            raise

    def start_up_to(self, workers: int) -> Future[int]:
        """Start the processes that are missing.

        Args:
            workers: The number of processes that are wanted, at most `max_workers`.

        Returns:
            The process id of the one that answers first.
        """
        # Private in loky, whose public pools that grow are one for the whole process. A task starts the processes that are missing.
        self.executor._max_workers = workers  # noqa: SLF001 - see above
        first: Future[int] = self.executor.submit(os.getpid)
        return first

    def _note_start(self, began: float) -> None:
        self.start_seconds = time.perf_counter() - began

    def process_ids(self) -> list[int]:
        """The processes that have been started."""
        return list(self.executor._processes)  # noqa: SLF001 - see below

    def is_alive(self) -> bool:
        """Whether all processes are there."""
        # Private in loky, which has no public way to ask. Without it, a run that begins just after a worker was killed fails
        # instead of starting new processes: test_a_worker_killed_between_two_runs_is_replaced.
        processes = list(self.executor._processes.values())  # noqa: SLF001 - see above
        return bool(processes) and not connection.wait([each.sentinel for each in processes], timeout=0)

    def close(self) -> None:
        """Kill the processes, and those that they have started. Does nothing in a fork of the process that started them."""
        self._finalize()


def import_path() -> list[str]:
    """The driver's `sys.path`; an empty entry stands for the working folder, which is another one in loky's workers."""
    folder = ""
    with contextlib.suppress(OSError):
        folder = os.getcwd()  # noqa: PTH109 - a name is wanted
    return [entry or folder for entry in sys.path]


def changed_environment() -> dict[str, str]:
    """Environment variables of the workers that differ from the driver's, unless the user has set them."""
    wanted = {
        # The same hashes in every worker, so that nodes that partition by hash agree.
        "PYTHONHASHSEED": "0",
        # Above 300 MB loky would take a node's data for a leak, warn, and start the worker again.
        "LOKY_MAX_MEMORY_LEAK_SIZE": "1e18",
    }
    return {name: os.environ.get(name) or value for name, value in wanted.items()}


def _start_worker(driver: int, path: Sequence[str], setup: Setup) -> None:
    """Called in each worker process before its first task, with the process id of the driver and its `sys.path`."""
    sys.path[:] = path
    # Ctrl-C in a terminal reaches all processes. The driver ends this one; until then it should not print a traceback. A handler, since
    # programs that a node starts would inherit that the signal is ignored.
    signal.signal(signal.SIGINT, lambda *_: None)
    threading.Thread(target=_watch, args=(driver,), daemon=True, name="penstock-watch").start()
    if setup is not None:
        setup()


def _watch(driver: int) -> None:
    """End this worker when the driver was killed: no one waits for its results any more, and no one else removes its files."""
    while os.getppid() == driver:
        time.sleep(WATCH_SECONDS)
        release_ended_runs()
    remove_run_folders(lambda pid: pid == driver)
    os._exit(1)


class KeptPool:
    """The worker processes of an open runner. Runs share them, one after the other or at once.

    Args:
        max_workers: The number of processes.
        setup: What each of them calls first.
    """

    def __init__(self, max_workers: int, setup: Setup) -> None:
        self._max_workers = max_workers
        self._lock = threading.Lock()
        self._pool = WorkerPool(max_workers, setup)
        self._replaced: list[WorkerPool] = []
        """Pools that runs still use."""
        self._is_ended = False

    @contextlib.contextmanager
    def used(self, setup: Setup) -> Iterator[WorkerPool]:
        """The processes, for one run; new ones if a process was killed since, or if workers have to be set up differently.

        Raises:
            RunnerError: The pool has ended.
        """
        with self._lock:
            if self._is_ended:
                raise RunnerError(
                    "The runner was closed while this run began. Open it again, or make a new one"
                )
            if self._pool.setup != setup or not self._pool.is_alive():
                self._replaced.append(self._pool)
                self._pool = WorkerPool(self._max_workers, setup)
            pool = self._pool
            pool.runs += 1
            self._end_unused()
        try:
            yield pool
        finally:
            with self._lock:
                pool.runs -= 1
                self._end_unused()

    def _end_unused(self) -> None:
        for pool in [pool for pool in self._replaced if not pool.runs]:
            self._replaced.remove(pool)
            pool.close()

    def close(self) -> None:
        """Kill the processes. Runs that go on in other threads fail with a `NodeError`."""
        with self._lock:
            self._is_ended = True
        for pool in [*self._replaced, self._pool]:
            pool.close()


class RunExecutor:
    """The executor that Dask sees for one run.

    Args:
        pool: Its processes may be more than the run may use, and other runs may use them too.
        max_workers: How many tasks Dask submits at once.
        exchange: Knows which tasks follow a task in its hand-out.
    """

    def __init__(self, pool: WorkerPool, max_workers: int, exchange: DriverExchange) -> None:
        self._exchange = exchange
        self._executor = pool.executor
        # `dask.multiprocessing.get` reads this private name of `concurrent.futures`. If Dask comes to read another one, all tests
        # of ParallelRunner fail.
        self._max_workers = max_workers
        self._keys_by_task: dict[Future[Any], list[str]] = {}

    def submit(self, execute: Callable[..., Any], tasks: list[tuple[Any, ...]]) -> Future[Any]:
        """Run one of Dask's batches, which has one task here, and with it those that follow it in its process.

        When Dask submits these, their results are here. The key of a task is its first item, its pickle the second; the first
        task's pickle has the others in it.
        """
        [(key, _, *functions)] = tasks
        answer: Future[Any] = Future()
        if key in self._exchange.results_ahead:
            answer.set_result([self._exchange.results_ahead.pop(key)])
            return answer
        followers = self._exchange.followers.pop(key)
        together = [*tasks, *((each, b"", *functions) for each in followers)]
        task: Future[Any] = self._executor.submit(_do_together, execute, together)
        self._keys_by_task[task] = [each for each, *_ in together]
        task.add_done_callback(lambda _: self._answer(task, answer))
        return answer

    def _answer(self, task: Future[Any], answer: Future[Any]) -> None:
        """Give Dask the result of the first task; those of the others wait until Dask submits them."""
        if task.cancelled():
            # Dask, which waits for the answer, gets a CancelledError.
            answer.cancel()
            return
        error = task.exception()
        if error is not None:
            answer.set_exception(error)
            return
        first, *others = task.result()
        self._exchange.results_ahead.update((result[0], result) for result in others)
        self._keys_by_task.pop(task, None)
        answer.set_result([first])

    def unfinished_keys(self) -> list[str]:
        """The keys of the tasks that have no result."""
        return [key for keys in self._keys_by_task.values() for key in keys]

    def unfinished(self) -> list[str]:
        """The tasks that have no result, in words; of a hand-out the node, if it is called in it."""
        hand_outs = [list(map(task_text, keys)) for keys in self._keys_by_task.values()]
        called = [[text for text in texts if text.startswith("node ")] or texts for texts in hand_outs]
        return sorted(text for texts in called for text in texts)

    def wait(self) -> None:
        """Return when none of the run's tasks runs any more."""
        wait(list(self._keys_by_task))


def _do_together(execute: Callable[..., Any], tasks: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Called in a worker: do the tasks one after the other, up to the first that fails.

    Returns:
        For each task its key, its result, and whether that is an error. All after the first that fails have its error: Dask may look at
        any of them first.
    """
    results: list[tuple[Any, ...]] = []
    for number, task in enumerate(tasks):
        [(key, result, has_failed)] = execute([task])
        if has_failed:
            return results + [(each, result, True) for each, *_ in tasks[number:]]
        results.append((key, result, False))
    return results


@contextlib.contextmanager
def running_in(pool: WorkerPool, max_workers: int, exchange: DriverExchange) -> Iterator[RunExecutor]:
    """An executor for one run. When the block is left, no task of the run goes on.

    Args:
        pool: Its processes end here if one was killed, or if this process is interrupted.
        max_workers: How many tasks run at once.
        exchange: The driver's side of the run.

    Raises:
        NodeError: A worker process was killed, or the pool was ended. The error names the tasks that were running.
    """
    from loky.process_executor import ShutdownExecutorError  # noqa: PLC0415 - as above

    executor = RunExecutor(pool, max_workers, exchange)
    try:
        try:
            yield executor
        except Exception:
            executor.wait()
            raise
    except (BrokenExecutor, ShutdownExecutorError) as error:
        raise NodeError(
            " or ".join(executor.unfinished()) or "a node", _end_text(error, pool.runs)
        ) from error
    except Exception:
        raise
    except BaseException:
        pool.close()
        raise


def _end_text(error: RuntimeError, runs: int) -> str:
    if not isinstance(error, BrokenExecutor):
        return "the worker process was ended, because the runner was closed or another run in its processes was interrupted"
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    others = " A node of another run in these processes may have caused it." if runs > 1 else ""
    return f"the worker process died ({reason}); it may have been killed for want of memory.{others}"
