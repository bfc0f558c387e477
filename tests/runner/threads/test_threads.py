"""ThreadRunner: the contract, and what only threads do."""

from __future__ import annotations

import contextvars
import threading
import time

import pytest

from penstock.errors import RunnerError
from penstock.io import DataCatalog
from penstock.pipeline import node, pipeline
from penstock.runner import ThreadRunner
from penstock.testing import RunnerContract


@pytest.mark.smoke
@pytest.mark.pythons
class TestThreadRunner(RunnerContract):
    runs_nodes_at_once = True

    @pytest.fixture
    def runner(self):
        return ThreadRunner(max_workers=2)


@pytest.mark.newest
class TestThreadRunnerWithOneThread(RunnerContract):
    @pytest.fixture
    def runner(self):
        return ThreadRunner(max_workers=1)


def test_is_async_is_warned_about_and_ignored():
    with pytest.warns(UserWarning, match="is_async") as warned:
        runner = ThreadRunner(is_async=True)

    assert runner.is_async is False
    assert warned[0].filename == __file__


@pytest.mark.parametrize("workers", [0, -3])
def test_less_than_one_worker_is_refused(workers):
    with pytest.raises(RunnerError, match=str(workers)) as caught:
        ThreadRunner(max_workers=workers)

    assert isinstance(caught.value, ValueError)


def test_running_nodes_are_waited_for_after_an_error(diary):
    """Dask's own scheduler returns at the first error while other tasks still write."""
    begun = threading.Event()

    def slow():
        begun.set()
        time.sleep(0.3)
        diary.note("ended")

    def bad():
        assert begun.wait(10)
        raise ValueError("bad")

    nodes = pipeline([node(slow, None, "a", name="slow"), node(bad, None, "b", name="bad")])

    with pytest.raises(ValueError, match="bad"):
        ThreadRunner(max_workers=2).run(nodes, DataCatalog())

    assert diary.kinds() == ["ended"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("penstock_")]


def test_no_more_threads_are_used_than_nodes_can_run_at_once():
    """Two layers of two nodes and one: at most two at a time."""
    nodes = pipeline(
        [
            node(lambda a: threading.current_thread().name, "a", "x", name="x"),
            node(lambda a: threading.current_thread().name, "a", "y", name="y"),
            node(lambda *names: set(names), ["x", "y"], "z", name="z"),
        ]
    )

    result = ThreadRunner(max_workers=16).run(nodes, DataCatalog({"a": 1}))

    assert len(result["z"].load()) <= 2


def test_nodes_see_the_context_variables_of_the_caller():
    """Tracing and structured logging keep their state there; Dask's own threads see it, too."""
    request = contextvars.ContextVar("request", default="none")
    request.set("request 7")
    nodes = pipeline([node(request.get, None, "seen", name="look")])

    result = ThreadRunner(max_workers=2).run(nodes, DataCatalog())

    assert result["seen"].load() == "request 7"


def test_its_repr_shows_its_arguments():
    assert repr(ThreadRunner(max_workers=3)) == "penstock.runner.threads.ThreadRunner(max_workers=3)"
