"""Batches of Dask's tasks: in order, in threads that end, with context variables, and never waited for in vain."""

from __future__ import annotations

import contextlib
import gc
import queue
import threading
import weakref
from contextvars import ContextVar

import dask.threaded
import pytest
from dask._task_spec import Task, TaskRef
from dask.local import get_async

from penstock.runner.sequential import _Batch
from penstock.runner.threads import executors
from penstock.runner.threads.executors import ThreadPool

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def names():
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("penstock_")}


def graph(wide, deep):
    """Layers of sums, each of two of the layer before; and the key of the last one."""
    tasks = {}
    for layer in range(deep):
        for column in range(wide):
            before = [(layer - 1, column), (layer - 1, (column + 1) % wide)]
            arguments = [TaskRef(key) for key in before] if layer else [1, 2]
            tasks[layer, column] = Task((layer, column), lambda a, b: a + b, *arguments)
    return tasks


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_threads_give_what_dask_gives(workers):
    tasks = graph(5, 20)

    with contextlib.closing(ThreadPool(workers)) as pool:
        values = dask.threaded.get(tasks, list(tasks), pool=pool)

    assert values == dask.local.get_sync(tasks, list(tasks))
    assert not names()


def test_a_batch_here_gives_what_dask_gives():
    tasks = graph(5, 20)

    assert get_async(_Batch, 1, tasks, list(tasks)) == dask.local.get_sync(tasks, list(tasks))


def test_no_more_threads_are_started_than_batches_come():
    with contextlib.closing(ThreadPool(50)) as pool:
        dask.threaded.get(
            {"a": Task("a", lambda: 1), "b": Task("b", lambda a: a, TaskRef("a"))}, "b", pool=pool
        )
        started = names()

    assert started == {"penstock_0", "penstock_1"}


def test_tasks_see_the_context_and_keep_their_changes_to_themselves():
    def change():
        before = WHO.get()
        WHO.set("a task")
        return before

    token = WHO.set("the driver")
    try:
        with contextlib.closing(ThreadPool(1)) as pool:
            seen = dask.threaded.get({key: Task(key, change) for key in "abc"}, list("abc"), pool=pool)
    finally:
        WHO.reset(token)

    assert seen == ("the driver",) * 3


def test_what_executing_itself_raises_arrives():
    """Dask packs what tasks raise; whatever else goes wrong would have it wait for ever."""
    done = queue.Queue()

    with contextlib.closing(ThreadPool(1)) as pool:
        pool.submit(lambda tasks: tasks[1], [0]).add_done_callback(done.put)
        batch = done.get(timeout=30)

    with pytest.raises(IndexError):
        batch.result()


def test_threads_that_nobody_ends_end():
    """An interrupt may come between two lines."""
    pool = ThreadPool(2)
    done = queue.Queue()
    for _ in range(2):
        pool.submit(list, [1]).add_done_callback(done.put)
        done.get(timeout=30)
    started = pool._threads

    del pool

    for thread in started:
        thread.join(timeout=30)
    assert [thread.is_alive() for thread in started] == [False, False]


def test_a_thread_whose_start_was_interrupted_is_not_waited_for():
    pool = ThreadPool(2)
    pool._threads.append(threading.Thread(target=print))

    pool.close()


def test_nothing_is_executed_any_more_once_the_threads_are_ended():
    pool, done, executed = ThreadPool(1), queue.Queue(), []
    begun, may_end = threading.Event(), threading.Event()

    def slow(tasks):
        begun.set()
        may_end.wait(30)
        executed.append(tasks)

    pool.submit(slow, ["first"]).add_done_callback(done.put)
    pool.submit(slow, ["second"]).add_done_callback(done.put)
    begun.wait(30)
    threading.Timer(0.2, may_end.set).start()

    pool.close()

    assert executed == [["first"]]


def test_a_lock_that_an_interrupt_has_left_taken_holds_nobody_up(monkeypatch):
    """Dask's queue has one, which a thread needs to call back."""
    monkeypatch.setattr(executors, "THREAD_END_SECONDS", 0.1)
    pool, taken = ThreadPool(1), threading.Lock()
    taken.acquire()
    pool.submit(list, ["task"]).add_done_callback(lambda _: taken.acquire())

    pool.close()

    taken.release()


def test_a_thread_that_waits_holds_no_value():
    class Value:
        pass

    def execute(tasks):
        return [value_by_task[task] for task in tasks]

    value_by_task = {"a": Value()}
    held = weakref.ref(value_by_task["a"])
    done = queue.Queue()
    with contextlib.closing(ThreadPool(1)) as pool:
        pool.submit(execute, ["a"]).add_done_callback(done.put)
        done.get(timeout=30)
        # The thread is done with the first when it has done the second.
        pool._max_workers = 0
        pool.submit(list, ["b"]).add_done_callback(done.put)
        done.get(timeout=30)
        value_by_task.clear()
        gc.collect()

        assert held() is None
