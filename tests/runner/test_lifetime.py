"""Open runners: what holds for every runner. What an open runner keeps is in processes/ and cluster/test_lifetime.py."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import dask
import pytest

from penstock import DaskRunner, ParallelRunner, SequentialRunner, ThreadRunner
from penstock.errors import RunnerError
from penstock.io import DataCatalog
from penstock.pipeline import node, pipeline
from penstock.runner import AbstractRunner, lifetime
from penstock.testing import add_one

ADD = pipeline([node(add_one, "a", "b", name="add")])


class Own(AbstractRunner):
    """A runner of a user's, which does not call `super().__init__`."""

    def __init__(self):
        pass

    def get(self, graph, keys):
        return dask.get(graph, keys)


@pytest.fixture(params=["SequentialRunner", "ThreadRunner", "ParallelRunner", "DaskRunner", "Own"])
def runner(request):
    if request.param == "DaskRunner":
        return DaskRunner(request.getfixturevalue("in_process_client"))
    make = {"SequentialRunner": SequentialRunner, "ThreadRunner": ThreadRunner, "Own": Own}
    return make[request.param]() if request.param in make else ParallelRunner(1)


def added(runner, number=1):
    return runner.run(ADD, DataCatalog({"a": number}))["b"].load()


def test_every_runner_can_be_opened_and_says_so(runner):
    """A program that is given a runner need not know which one it is."""
    before = repr(runner)

    with runner as entered:
        results = [added(runner, number) for number in range(2)]
        during = repr(runner)

    assert entered is runner
    assert results == [1, 2]
    assert during == f"<{before}, open>"
    assert repr(runner) == f"<{before}, closed>"


def test_a_closed_runner_says_what_to_do_and_can_be_opened_again(runner):
    runner.open()
    runner.close()
    runner.close()

    with pytest.raises(RunnerError, match=f"{type(runner).__name__} is closed. Open it again"):
        added(runner)
    with runner:
        assert added(runner) == 2


def test_closing_a_runner_that_is_not_open_does_nothing(runner):
    runner.close()

    assert added(runner) == 2


def test_an_open_runner_cannot_be_entered_again(runner):
    """Which of the two blocks would end its workers?"""
    with runner:
        with pytest.raises(RunnerError, match="is open already"), runner:
            pass

        assert added(runner) == 2


def test_of_several_threads_that_enter_at_once_one_does():
    runner, barrier = SequentialRunner(), threading.Barrier(8)

    def enter(_):
        barrier.wait()
        try:
            return runner.open() is runner
        except RunnerError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(enter, range(8))) == 1


def test_a_runner_that_could_not_be_opened_is_as_it_was():
    class Unlucky(SequentialRunner):
        starts = 0

        def _start_kept(self, stack):
            stack.callback(self.ends.append, self.starts)
            self.starts += 1
            if self.starts == 1:
                raise OSError("no space")

    runner = Unlucky()
    runner.ends = []
    with pytest.raises(OSError, match="no space"):
        runner.open()

    assert not repr(runner).startswith("<")
    assert added(runner) == 2
    with runner:
        assert runner.ends == [0]
    assert runner.ends == [0, 1]


def test_ctrl_c_just_after_a_runner_was_opened_leaves_it_as_it_was():
    """The block does not begin, so nothing else would end what was started."""

    class Interrupted(lifetime.Lifetime):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if value == "open":
                raise KeyboardInterrupt

    ends, interrupted = [], Interrupted()

    def start(stack):
        stack.callback(ends.append, "ended")
        return "kept"

    with pytest.raises(KeyboardInterrupt):
        interrupted.open("SequentialRunner", start)

    assert ends == ["ended"]
    assert (interrupted.kept("SequentialRunner"), interrupted.text) == (None, "")


@pytest.mark.parametrize(
    "copied", [lambda runner: pickle.loads(pickle.dumps(runner)), copy.copy, copy.deepcopy]
)
def test_a_copy_of_an_open_runner_is_not_open(copied):
    """A hook that holds the runner travels to the workers."""
    with ParallelRunner(1) as runner:
        assert repr(copied(runner)) == "penstock.runner.processes.ParallelRunner(max_workers=1)"
