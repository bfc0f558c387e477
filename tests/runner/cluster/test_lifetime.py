"""Open DaskRunners: one cluster for all runs of a block, if the runner starts it."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import pytest

from penstock import DaskRunner
from penstock.errors import ClusterError
from penstock.graph.taskspec import new_task
from penstock.io import DataCatalog
from penstock.pipeline import node, pipeline
from penstock.runner import lifetime
from penstock.testing import add_one, fail

pytestmark = pytest.mark.cluster


ADD = pipeline([node(add_one, "a", "b", name="add")])
THREADS = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": "127.0.0.1:0"}


def added(runner, number=1):
    return runner.run(ADD, DataCatalog({"a": number}))


def test_runs_in_a_block_share_a_cluster_that_ends_with_it():
    with DaskRunner(**THREADS) as runner:
        results = [added(runner, number) for number in range(3)]
        session = runner._kept()
        with pytest.raises(ValueError, match="turbines"):
            runner.run(pipeline([node(fail, "a", "b")]), DataCatalog({"a": 1}))
        left = session.client.run_on_scheduler(
            lambda dask_scheduler: [*dask_scheduler.tasks, *dask_scheduler._broker._topics.keys() - {"all"}]
        )
        got = runner.get({"x": new_task("x", add_one, 1)}, ["x"])

    assert len({result.records[0].worker for result in results}) == 1
    assert [result["b"].load() for result in results] == [1, 2, 3]
    # Keys of nodes begin with a bracket. Dask's own topics are ids in hexadecimal digits, and may hold any short word.
    assert [each for each in left if str(each).startswith(("(", "penstock"))] == []
    assert list(got) == [2]
    assert session.client.status == "closed"
    assert session.client.cluster.status.name == "closed"


def test_runs_at_once_share_the_cluster():
    with DaskRunner(**THREADS) as runner, ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda number: added(runner, number), range(8)))

    assert [result["b"].load() for result in results] == [*range(1, 9)]
    assert len({result.records[0].worker for result in results}) == 1


def test_a_runner_on_a_cluster_that_it_does_not_start_keeps_nothing(in_process_client):
    with DaskRunner(in_process_client) as runner:
        assert runner._kept() is None
        assert added(runner)["b"].load() == 2
    with DaskRunner(in_process_client.cluster) as runner:
        assert runner._kept() is None

    assert in_process_client.status == "running"


def test_a_cluster_that_has_ended_is_an_error_that_says_what_to_do():
    with DaskRunner(**THREADS) as runner:
        runner._kept().client.close()

        with pytest.raises(ClusterError, match="Close the runner, and open it again"):
            added(runner)


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_the_cluster_ends_when_the_block_is_left_by_an_exception(error):
    sessions = []

    def leave():
        with DaskRunner(**THREADS) as runner:
            sessions.append(runner._kept())
            raise error

    with pytest.raises(error):
        leave()

    assert sessions[0].client.cluster.status.name == "closed"


def test_a_run_that_is_interrupted_leaves_the_cluster_to_the_next(tmp_path):
    """In a notebook one interrupts a run and goes on with the runner that `open` has opened."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def slow():
        begun.touch()
        time.sleep(0.5)
        ended.touch()
        return 1

    def interrupt():
        for _ in range(600):
            if begun.exists():
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.05)

    with DaskRunner(**THREADS) as runner:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            runner.run(pipeline([node(slow, None, "made", name="slow")]), DataCatalog())
        thread.join()
        had_ended = ended.exists()

        assert added(runner)["b"].load() == 2
    assert had_ended, "A task of the run went on after it."


def test_a_runner_whose_cluster_does_not_start_is_not_open():
    arguments = {**THREADS, "n_workers": 0}
    runner = DaskRunner(worker_timeout_seconds=0.5)

    with (
        dask.config.set({"penstock.cluster": {"class": "distributed.LocalCluster", "arguments": arguments}}),
        pytest.raises(ClusterError),
    ):
        runner.open()

    assert not repr(runner).startswith("<")


def test_a_worker_that_was_killed_is_replaced_for_the_next_run():
    arguments = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    who = pipeline([node(os.getpid, None, "pid", name="who")])
    with DaskRunner(**arguments) as runner:
        pid = runner.run(who, DataCatalog())["pid"].load()
        os.kill(pid, signal.SIGKILL)

        assert runner.run(who, DataCatalog())["pid"].load() != pid
    assert not Path(f"/proc/{pid}").exists()


def test_several_runs_that_are_not_in_a_block_say_once_what_one_would_save(caplog, monkeypatch):
    monkeypatch.setattr(lifetime, "_starts", type(lifetime._starts)())
    caplog.set_level(logging.INFO, "penstock")

    for _ in range(3):
        added(DaskRunner(**THREADS))

    (hint,) = [record.getMessage() for record in caplog.records if "as runner" in record.getMessage()]
    assert "s for a cluster of its own" in hint
    assert "`with DaskRunner(...) as runner:`" in hint


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_neither_uses_nor_ends_the_cluster_of_its_parent(script):
    process = script(
        f"""
import multiprocessing, os, warnings
from penstock import DaskRunner, DataCatalog
from penstock.errors import RunnerError
from penstock.pipeline import node, pipeline

def added(runner):
    return runner.run(pipeline([node(abs, "a", "b", name="add")]), DataCatalog({{"a": -2}}))["b"].load()

def child(runner):
    try:
        added(runner)
    except RunnerError as error:
        print(error, flush=True)
    runner.close()

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with DaskRunner(**{THREADS!r}) as runner:
        fork = multiprocessing.get_context("fork").Process(target=child, args=(runner,))
        fork.start()
        fork.join()
        print(fork.exitcode, added(runner), flush=True)
"""
    )

    out, errors = process.communicate(timeout=60)

    error, rest = out.splitlines()
    assert "was opened in process" in error, errors
    assert rest == "0 2"


@pytest.mark.cluster
@pytest.mark.skipif(
    importlib.util.find_spec("dask_jobqueue") is None,
    reason='dask-jobqueue is not installed: pip install "penstock[hpc]"',
)
def test_the_jobs_of_a_queue_are_submitted_once_for_all_runs(script, tmp_path):
    """A job may wait in the queue for an hour."""
    section = {
        "class": "dask_jobqueue.local.LocalCluster",
        "arguments": {
            "cores": 1,
            "memory": "500MB",
            "processes": 1,
            "nanny": False,
            "interface": "lo",
            "local_directory": str(tmp_path),
            "log_directory": str(tmp_path),
            "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
        },
        "scale": 1,
    }
    process = script(
        f"""
import os
import dask
from penstock import DaskRunner, DataCatalog
from penstock.pipeline import node, pipeline

who = pipeline([node(os.getpid, None, "pid", name="who")])
with dask.config.set({{"penstock.cluster": {section!r}}}), DaskRunner() as runner:
    pids = {{runner.run(who, DataCatalog())["pid"].load() for _ in range(10)}}
    print(len(pids), pids.isdisjoint({{os.getpid()}}))
"""
    )

    out, errors = process.communicate(timeout=90)

    assert out == "1 True\n", errors
