"""What a run does when a worker dies: it ends with the right result, and what was saved is not done again."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import dask
import dask.array
import pytest
from distributed import Client, LocalCluster, get_client

from penstock import ClusterError, DaskRunner, DataCatalog, MemoryDataset, NodeError, NoWorkersError
from penstock.pipeline import node, pipeline
from penstock.runner.cluster.workers import waiting
from penstock.tasks.base import Work
from penstock.testing import DiaryDataset, add_one

pytestmark = pytest.mark.cluster


@pytest.fixture
def runner(mortal):
    mortal.wait_for_workers(2, timeout=60)
    return DaskRunner(mortal)


def kill_first(diary, times=1):
    """End this worker, as the kernel does for want of memory, unless it was done often enough."""
    if len(diary.notes("killed")) < times:
        diary.note("killed")
        os.kill(os.getpid(), signal.SIGKILL)


def noting(diary, what, value=None):
    def run(*inputs):
        diary.note(what)
        return [what, *inputs] if value is None else value

    return run


def deadly(diary, what, times=1):
    def run(*inputs):
        kill_first(diary, times)
        diary.note(what)
        return [what, *inputs]

    return run


@pytest.mark.parametrize("policies", [None, {"first": {"retries": 1}, "second": {"retries": 1}}])
def test_what_was_saved_is_loaded_when_its_worker_dies(runner, diary, policies):
    """Dask alone would call `first` and save `stored` again."""
    nodes = pipeline(
        [
            node(noting(diary, "first"), None, "stored", name="first"),
            node(deadly(diary, "second"), "stored", "second", name="second"),
        ]
    )

    catalog = DataCatalog({"stored": DiaryDataset("stored", diary)})
    result = runner.run(nodes, catalog, policies=policies)

    assert result["second"].load() == ["second", ["first"]]
    assert diary.kinds().count("first") == 1
    assert diary.kinds().count("save stored") == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_of_several_outputs_those_that_were_saved_are_not_saved_again(mortal, diary, is_async):
    """What was in memory is gone with its worker: the node is called again for it, as the README says."""

    def both():
        diary.note("both")
        return "kept", "held"

    nodes = pipeline(
        [
            node(both, None, ["stored", "held"], name="both"),
            node(deadly(diary, "second"), ["stored", "held"], "second", name="second"),
        ]
    )
    runner = DaskRunner(mortal, is_async=is_async)

    result = runner.run(nodes, DataCatalog({"stored": DiaryDataset("stored", diary)}))

    assert result["second"].load() == ["second", "kept", "held"]
    assert diary.kinds().count("both") == 2
    assert diary.kinds().count("save stored") == 1


def test_a_stream_that_was_saved_is_not_yielded_again(runner, diary):
    def stream():
        diary.note("stream")
        yield from ("first chunk", "last chunk")

    nodes = pipeline(
        [
            node(stream, None, "stored", name="stream"),
            node(deadly(diary, "second"), "stored", "second", name="second"),
        ]
    )

    result = runner.run(nodes, DataCatalog({"stored": DiaryDataset("stored", diary)}))

    assert result["second"].load() == ["second", "last chunk"]
    assert diary.kinds().count("stream") == 1
    assert diary.kinds().count("save stored") == 2


def test_a_node_without_outputs_and_a_confirmation_are_not_done_again(runner, diary):
    done = threading.Event()
    nodes = pipeline(
        [
            node(lambda x: diary.note("mail"), "x", None, name="mail"),
            node(noting(diary, "first"), None, "stored", name="first", confirms="stored"),
            node(deadly(diary, "second"), "stored", "second", name="second"),
        ]
    )

    runner.run(nodes, DataCatalog({"x": 1, "stored": DiaryDataset("stored", diary)}))

    assert not done.is_set()
    assert diary.kinds().count("confirm stored") == 1


def test_a_save_in_the_middle_of_which_its_worker_died_is_done_again(runner, diary):
    class Deadly(DiaryDataset):
        def save(self, data):
            kill_first(self.diary)
            super().save(data)

    nodes = pipeline([node(noting(diary, "first"), None, "stored", name="first")])

    result = runner.run(nodes, DataCatalog({"stored": Deadly("stored", diary)}))

    assert result["stored"].load() == ["first"]
    assert diary.kinds().count("saved stored") == 1


def test_data_in_memory_is_made_again(runner, diary):
    nodes = pipeline(
        [
            node(noting(diary, "first"), None, "a", name="first"),
            node(noting(diary, "second"), "a", "b", name="second"),
            node(deadly(diary, "third", times=3), "b", "c", name="third"),
        ]
    )

    assert runner.run(nodes, DataCatalog())["c"].load() == ["third", ["second", ["first"]]]


def test_a_large_free_input_outlives_every_worker(runner, diary):
    """It is on one worker only, and no recipe makes it: Dask alone gives up all that needs it."""
    big = bytes(2_000_000)
    nodes = pipeline(
        [
            node(len, "big", "size", name="size"),
            node(deadly(diary, "third", times=2), "size", "c", name="third"),
            node(lambda data, c: [len(data), *c], ["big", "c"], "d", name="last"),
        ]
    )

    result = runner.run(nodes, DataCatalog({"big": MemoryDataset(big)}))

    assert result["d"].load() == [2_000_000, "third", 2_000_000]


def test_a_node_that_kills_its_workers_is_named(runner, diary, caplog):
    nodes = pipeline(
        [
            node(noting(diary, "first"), None, "stored", name="first"),
            node(deadly(diary, "greedy", times=99), "stored", "b", name="greedy"),
        ]
    )

    with pytest.raises(NodeError, match="it may have killed its workers: 4 workers died") as caught:
        runner.run(nodes, DataCatalog({"stored": DiaryDataset("stored", diary)}))

    assert str(caught.value).startswith("node 'greedy' (inputs: stored) failed")
    assert str(caught.value).count("tcp://") >= 4
    assert "Restarting worker" in str(caught.value)
    assert len(diary.notes("killed")) == 4
    assert diary.kinds().count("first") == 1
    assert "1 of 2 nodes are done; begun: greedy" in caplog.text


def backend_of_this_task():
    """Found on the stack, since a node's function does not know its task."""
    frames = (frame.f_locals.get("self") for frame, _ in traceback.walk_stack(sys._getframe()))
    return next(each.context.backend for each in frames if isinstance(each, Work))


def test_nothing_is_saved_after_a_run_has_failed(runner, diary):
    def slow():
        diary.note("slow begins")
        backend, last = backend_of_this_task(), time.time() + 60
        while not backend.is_stopped() and time.time() < last:
            time.sleep(0.01)
        diary.note("slow ends")
        return 1

    def late_failure():
        while not diary.notes("slow begins"):
            time.sleep(0.01)
        raise ValueError("the river is low")

    nodes = pipeline([node(slow, None, "stored", name="slow"), node(late_failure, None, "b", name="fails")])

    with pytest.raises(ValueError, match="the river is low"):
        runner.run(nodes, DataCatalog({"stored": DiaryDataset("stored", diary)}))

    notes = diary.kinds()
    time.sleep(0.5)
    assert diary.kinds() == notes == ["slow begins", "slow ends"]


# One cluster for several things at once


def test_two_runs_on_one_cluster_do_not_see_each_other(mortal, diary):
    def double(x):
        time.sleep(0.05)
        return 2 * x

    nodes = pipeline([node(double, f"x{number}", f"x{number + 1}", name=f"n{number}") for number in range(5)])
    results = {}

    def run(start):
        results[start] = DaskRunner(mortal).run(nodes, DataCatalog({"x0": start}))["x5"].load()

    threads = [threading.Thread(target=run, args=[start]) for start in (1, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == {1: 32, 10: 320}


def test_a_run_inside_a_task_of_the_same_cluster_does_not_wait_for_itself(mortal):
    """Both workers are taken by nodes that wait for runs of their own."""

    def outer(x):
        inner = pipeline([node(lambda y: y + 1, "y", "z", name="inner")])
        return DaskRunner(get_client()).run(inner, DataCatalog({"y": x}))["z"].load()

    nodes = pipeline([node(outer, f"x{number}", f"z{number}", name=f"outer{number}") for number in range(4)])

    result = DaskRunner(mortal).run(nodes, DataCatalog({f"x{number}": number for number in range(4)}))

    assert [result[f"z{number}"].load() for number in range(4)] == [1, 2, 3, 4]


def test_a_node_may_compute_on_the_cluster_that_it_runs_on(mortal):
    def total(count):
        return int(dask.array.arange(count, chunks=100).sum().compute())

    nodes = pipeline([node(total, f"x{number}", f"y{number}", name=f"total{number}") for number in range(3)])

    result = DaskRunner(mortal).run(nodes, DataCatalog({f"x{number}": 1000 for number in range(3)}))

    assert [result[f"y{number}"].load() for number in range(3)] == [499_500] * 3


# No scheduler


@pytest.fixture
def short_lived(tmp_path):
    """A scheduler in a process of its own, with one worker, and the file that tells where it is."""
    file = tmp_path / "scheduler.json"
    options = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1"]
    started = [
        subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (scheduler, worker)
    ]
    yield started[0], str(file)
    for process in started:
        process.kill()
        process.wait()


def test_a_run_whose_scheduler_dies_ends_with_a_clear_error(short_lived, diary, caplog, monkeypatch):
    """At once, what was saved stays saved, nothing is saved afterwards, and the log says where to resume."""
    scheduler, file = short_lived
    # Somebody is asking the scheduler at any moment, also in the one in which it dies.
    monkeypatch.setattr(waiting, "WORKER_CHECK_SECONDS", 0.0)

    def slow(x):
        diary.note("slow begins")
        time.sleep(1)
        return x

    def kill():
        while not diary.notes("slow begins"):
            time.sleep(0.02)
        scheduler.kill()
        diary.note("scheduler killed")

    nodes = pipeline(
        [
            node(noting(diary, "first"), None, "stored", name="first"),
            node(slow, "stored", "late", name="slow"),
        ]
    )
    catalog = DataCatalog({name: DiaryDataset(name, diary) for name in ("stored", "late")})
    killer = threading.Thread(target=kill)
    killer.start()

    with pytest.raises(ClusterError, match="The connection to the scheduler is lost"):
        DaskRunner(scheduler_file=file).run(nodes, catalog)

    (killed,) = diary.notes("scheduler killed")
    assert time.time() - killed["at"] < 15
    assert '--from-nodes "slow"' in caplog.text
    killer.join()
    time.sleep(2)
    assert [kind for kind in diary.kinds() if kind.startswith("saved")] == ["saved stored"]


# Workers that Dask has given up, since their restart took longer than it waits


def dies_once(diary):
    kill_first(diary)
    return 1


def test_a_worker_that_dask_has_given_up_is_started_anew(diary):
    nodes = pipeline([node(functools.partial(dies_once, diary), None, "b", name="dies")])

    with dask.config.set({"distributed.deploy.lost-worker-timeout": "100ms"}):
        result = DaskRunner(n_workers=1, dashboard_address="127.0.0.1:0", worker_timeout_seconds=60).run(
            nodes, DataCatalog()
        )

    assert result["b"].load() == 1


def test_a_cluster_of_somebody_elses_whose_workers_dask_has_given_up_is_an_error_at_once():
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        # What Dask does when `lost-worker-timeout` is over.
        cluster.sync(cluster.workers[0].close)
        del cluster.workers[0]

        with pytest.raises(NoWorkersError, match=r"given up all workers.*scale\(1\)"):
            DaskRunner(client).run(pipeline([node(add_one, "a", "b")]), DataCatalog({"a": 1}))
