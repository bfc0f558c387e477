"""DaskRunner: what only clusters do. The contract is in test_cluster_contract.py."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import signal
import threading
import time
import weakref
from concurrent import futures
from pathlib import Path

import dask
import distributed
import numpy as np
import pytest
from dask.task_spec import DataNode, Task, TaskRef
from dask.utils import key_split
from distributed import Client, LocalCluster

from penstock import DaskRunner
from penstock.errors import CannotSendError, ClusterError, DatasetError, NodeError, RunnerError
from penstock.io import DataCatalog, JSONDataset, MemoryDataset
from penstock.pipeline import node, pipeline
from penstock.runner.cluster.connection import client as connect
from penstock.testing import Diary, add_one, fail

ADD = pipeline([node(add_one, "a", "b", name="add")])


def eventually(claim, seconds=20):
    """Whether the claim comes true: a cluster learns a little later what the client has forgotten."""
    until = time.time() + seconds
    while time.time() < until:
        if claim():
            return True
        time.sleep(0.02)
    return False


def tasks_on(client):
    return client.run_on_scheduler(lambda dask_scheduler: sorted(map(str, dask_scheduler.tasks)))


# Where outputs are


def test_outputs_stay_on_the_callers_cluster_until_they_are_loaded(client):
    """A result of 50 GB need not fit into the driver, and the next run may want it where it is."""
    result = DaskRunner(client).run(ADD, DataCatalog({"a": 1}))
    (key,) = client.who_has()
    deferred = result["b"].deferred

    value = result["b"].load()

    assert key_split(key) == "add"
    assert deferred is not None
    assert value == result["b"].load() == 2
    assert eventually(lambda: not client.who_has())


def test_outputs_without_a_reference_leave_the_cluster(client):
    result = DaskRunner(client).run(ADD, DataCatalog({"a": 1}))
    assert client.who_has()

    del result
    gc.collect()

    assert eventually(lambda: not tasks_on(client))


def test_nothing_of_a_run_stays_on_the_scheduler(client):
    """A cluster lives for weeks and sees thousands of runs."""

    def known(dask_scheduler):
        return {*dask_scheduler._broker._topics, *map(str, dask_scheduler.tasks)}

    before = client.run_on_scheduler(known)

    DaskRunner(client).run(ADD, DataCatalog({"a": 1}))["b"].load()
    with pytest.raises(ValueError, match="turbines"):
        DaskRunner(client).run(pipeline([node(fail, "a", "b")]), DataCatalog({"a": 1}))

    assert eventually(lambda: client.run_on_scheduler(known) <= before, 5), (
        client.run_on_scheduler(known) - before
    )


def test_nothing_of_a_run_stays_in_the_client(client):
    """A client lives as long as its notebook, and a catalog may hold gigabytes."""
    catalog = DataCatalog({"a": 1})
    alive = weakref.ref(catalog)

    DaskRunner(client).run(ADD, catalog)
    del catalog
    gc.collect()

    assert eventually(lambda: alive() is None, 5)


def test_a_failure_after_a_stored_dataset_has_been_read_ends_the_run(client, tmp_path):
    """On the scheduler no task depends on a completed save any more, and it has to forget the save when the run stops."""
    pipe = pipeline([node(lambda: 1, None, "kept", name="make"), node(fail, "kept", "end", name="fail")])
    catalog = DataCatalog({"kept": JSONDataset(str(tmp_path / "kept.json"))})
    errors = []

    def run():
        try:
            DaskRunner(client).run(pipe, catalog)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)

    assert errors
    assert tasks_on(client) == []


def test_a_later_run_takes_what_an_earlier_one_left_on_the_cluster(client):
    catalog = DataCatalog({"a": 1})
    runner = DaskRunner(client)
    runner.run(ADD, catalog)

    result = runner.run(pipeline([node(add_one, "b", "c", name="next")]), catalog)

    assert result["c"].load() == 3
    assert catalog.load("b") == 2


@pytest.mark.cluster
def test_outputs_are_fetched_from_a_temporary_cluster():
    runner = DaskRunner(n_workers=1, threads_per_worker=2, processes=False)

    result = runner.run(ADD, DataCatalog({"a": 1}))

    assert result["b"].load() == 2


@pytest.mark.cluster
def test_an_output_whose_cluster_is_gone_is_a_dataset_error():
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        client = Client(cluster, set_as_default=False)
        result = DaskRunner(client).run(ADD, DataCatalog({"a": 1}))
        client.close()

    with pytest.raises(DatasetError):
        result["b"].load()


def test_two_runs_never_see_each_others_results(client):
    """Equal keys would make the second run return the first one's data without running."""
    nodes = pipeline([node(random.random, None, "number", name="draw")])
    runner, catalog = DaskRunner(client), DataCatalog()

    numbers = {runner.run(nodes, catalog)["number"].load() for _ in range(3)}

    assert len(numbers) == 3


def test_a_large_free_input_does_not_ride_in_the_graph(client):
    """Dask warns of graphs above 10 MB, and warnings are errors here."""
    catalog = DataCatalog({"block": bytearray(20_000_000)})
    nodes = pipeline([node(len, "block", name, name=name) for name in ("x", "y")])

    result = DaskRunner(client).run(nodes, catalog)

    assert [dataset.load() for dataset in result.values()] == [20_000_000] * 2


# Names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("split_data", "split_data"),
        ("train-v2", "train_v2"),
        ("a" * 100, "a" * 60),
        ("x.y.split", "split@x.y"),
    ],
)
def test_the_dashboard_shows_the_nodes_name(client, name, shown):
    """The word before the first dash is the bar, the colour and the label of the metrics."""
    namespace, _, own = name.rpartition(".")
    nodes = pipeline([node(add_one, "a", "b", name=own, namespace=namespace or None)])

    plan = DaskRunner(client).plan(nodes, DataCatalog({"a": 1}))

    assert [key_split(key) for key, task in plan.tasks.items() if task.kind == "call"] == [shown]


# Who closes what


@pytest.mark.parametrize("kind", ["client", "cluster", "address", "scheduler_file"])
def test_every_way_to_a_cluster_runs_and_leaves_it_open(client, cluster, tmp_path, kind):
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": cluster.scheduler_address}))
    runner = {
        "client": lambda: DaskRunner(client),
        "cluster": lambda: DaskRunner(cluster),
        "address": lambda: DaskRunner(address=cluster.scheduler_address),
        "scheduler_file": lambda: DaskRunner(scheduler_file=str(path)),
    }[kind]()

    value = runner.run(ADD, DataCatalog({"a": 1}))["b"].load()

    assert value == 2
    assert client.status == "running"
    assert client.submit(add_one, 2, pure=False).result() == 3


def test_a_client_of_the_runners_own_is_closed_when_its_last_output_is_loaded(client, cluster):
    def clients(dask_scheduler):
        return set(dask_scheduler.clients)

    before = client.run_on_scheduler(clients)
    result = DaskRunner(cluster.scheduler_address).run(ADD, DataCatalog({"a": 1}))
    opened = client.run_on_scheduler(clients) - before

    result["b"].load()

    assert len(opened) == 1
    assert eventually(lambda: client.run_on_scheduler(clients).isdisjoint(opened))
    assert eventually(lambda: "penstock-close" not in {thread.name for thread in threading.enumerate()})


def test_a_client_of_the_runners_own_does_not_become_the_default(cluster):
    """The user's own Dask collections would suddenly run there."""
    DaskRunner(cluster.scheduler_address).run(ADD, DataCatalog({"a": 1}))["b"].load()

    with pytest.raises(ValueError, match="client"):
        distributed.default_client()


@pytest.mark.cluster
@pytest.mark.parametrize("given", [{}, {"n_workers": 2, "threads_per_worker": 1}])
def test_without_a_cluster_there_is_one_for_the_run(given):
    nodes = pipeline([node(lambda: (os.getpid(), os.getppid()), None, ["worker", "parent"], name="who")])

    result = DaskRunner(**given).run(nodes, DataCatalog())

    worker = result["worker"].load()
    assert worker != os.getpid()
    assert eventually(lambda: not _is_alive(worker))


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# What is refused


@pytest.mark.parametrize("wrong", [42, object(), ["tcp://127.0.0.1:8786"]])
def test_what_is_no_cluster_is_refused(wrong):
    with pytest.raises(RunnerError, match=type(wrong).__name__):
        DaskRunner(wrong)


def test_a_client_and_arguments_for_one_are_refused(client):
    with pytest.raises(RunnerError, match="n_workers"):
        DaskRunner(client, n_workers=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"set_as_default": True}, "does not take set_as_default: .* create it and pass it: DaskRunner"),
        ({"asynchronous": True, "n_workers": 1}, "does not take asynchronous: "),
        ({"client": ""}, "was given an empty client; was a variable not set?"),
        ({"address": ""}, "was given an empty address"),
        ({"scheduler_file": ""}, "was given an empty scheduler_file"),
    ],
)
def test_arguments_that_no_runner_takes_are_refused_at_once(arguments, message):
    """An empty address in silence meant a local cluster: the run of a night, on the login node."""
    with pytest.raises(RunnerError, match=message):
        DaskRunner(**arguments)


def test_what_a_runners_client_is_anyway_may_be_said():
    assert repr(DaskRunner(set_as_default=False, n_workers=1)) == (
        "penstock.runner.cluster.DaskRunner(n_workers=1)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"client": "nonsense"},
            r"'nonsense' is not the address of a scheduler \(missing port .*tcp://host:8786",
        ),
        ({"address": "foo://h:1"}, r"'foo://h:1' is not the address of a scheduler \(unknown address scheme"),
        ({"address": 8786}, "8786 is not the address"),
        (
            {"nworkers": 1},
            "Unexpected keyword arguments for the local cluster: nworkers; did you mean n_workers?",
        ),
    ],
)
def test_arguments_that_dask_does_not_take_are_refused_in_our_words(arguments, message):
    """Dask starts workers with a misspelt argument, which die of it and say so in their own logs only."""
    with pytest.raises(RunnerError, match=message):
        DaskRunner(**arguments).run(ADD, DataCatalog({"a": 1}))


@pytest.mark.parametrize("number", [0, -1, "2", 1.5, True])
def test_a_number_of_workers_that_makes_no_sense_is_refused_at_once(number):
    with pytest.raises(RunnerError, match=f"n_workers is {number!r}; give a whole number from 1"):
        DaskRunner(n_workers=number)


def test_a_closed_client_is_refused(cluster):
    closed = Client(cluster, set_as_default=False)
    closed.close()

    with pytest.raises(ClusterError, match="closed"):
        DaskRunner(closed).run(ADD, DataCatalog({"a": 1}))


def test_an_asynchronous_client_is_refused(cluster):
    async def run():
        async with Client(cluster.scheduler_address, asynchronous=True, set_as_default=False) as client:
            with pytest.raises(ClusterError, match="asynchronous"):
                DaskRunner(client).run(ADD, DataCatalog({"a": 1}))

    asyncio.run(run())


def test_an_address_without_a_scheduler_is_a_cluster_error():
    with pytest.raises(ClusterError, match="scheduler"):
        DaskRunner(address="tcp://127.0.0.1:1", timeout="1s").run(ADD, DataCatalog({"a": 1}))


# What goes wrong on clusters


@pytest.fixture
def mortal_client():
    """A cluster whose workers may die, of which the other tests notice nothing."""
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")
        with Client(cluster, set_as_default=False) as client:
            yield client
        # The oldest Dask sometimes waits for ever where it closes a worker that is starting. It ends with this process.
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            cluster.close(timeout=10)


@pytest.mark.cluster
def test_a_task_that_kills_its_workers_is_named(mortal_client):
    """Too large a table: the kernel, or the batch system, kills the worker that loads it."""
    nodes = pipeline([node(lambda: os._exit(1), None, "b", name="greedy")])

    with pytest.raises(NodeError, match="greedy"):
        DaskRunner(mortal_client).run(nodes, DataCatalog())


@pytest.mark.cluster
def test_a_run_survives_the_death_of_a_worker(mortal_client, tmp_path):
    """What the dead worker held is computed again, and each node is counted once."""
    died = tmp_path / "died"

    def die_once(number):
        if not died.exists():
            died.touch()
            os._exit(1)
        return number + 1

    nodes = pipeline([node(add_one, "a", "b", name="first"), node(die_once, "b", "c", name="second")])

    result = DaskRunner(mortal_client).run(nodes, DataCatalog({"a": 1}))

    assert result["c"].load() == 3
    assert [record.node for record in result.records] == ["first", "second"]


# The user's own Dask tools


def test_annotations_of_the_caller_count(client, tmp_path):
    """Retries, priorities and resources are Dask's, and go round any run."""
    tried = tmp_path / "tried"

    def flaky(number):
        if not tried.exists():
            tried.touch()
            raise OSError("try again")
        return number

    nodes = pipeline([node(flaky, "a", "b", name="flaky")])

    with dask.annotate(retries=1):
        result = DaskRunner(client).run(nodes, DataCatalog({"a": 1}))

    assert result["b"].load() == 1


def test_records_name_the_worker(client):
    result = DaskRunner(client).run(ADD, DataCatalog({"a": 1}))

    assert result.records[0].worker in client.scheduler_info(n_workers=-1)["workers"]


def test_its_repr_shows_plain_arguments_and_no_credentials(client):
    """Kedro writes it into the run's parameters, and those into logs."""
    assert repr(DaskRunner(client)) == "penstock.runner.cluster.DaskRunner(client=<Client>)"
    assert repr(DaskRunner("tcp://127.0.0.1:8786", is_async=True)) == (
        "penstock.runner.cluster.DaskRunner(client='tcp://127.0.0.1:8786', is_async=True)"
    )
    shown = repr(
        DaskRunner(address="gateway://ann:hunter2@host:1", security={"key": "hunter2"}, password="hunter2")
    )
    assert "hunter2" not in shown
    assert "host:1" in shown


@pytest.mark.apart
@pytest.mark.cluster
def test_ctrl_c_ends_a_temporary_cluster(script, tmp_path):
    process = script(INTERRUPTED, str(tmp_path))
    pid_file = tmp_path / "pid"
    assert eventually(lambda: pid_file.exists() and pid_file.read_text(), seconds=60)
    worker = int(pid_file.read_text())

    # As a terminal does: to the driver and all its children.
    os.killpg(process.pid, 2)
    out, errors = process.communicate(timeout=60)

    assert out == "interrupted\n", errors
    assert eventually(lambda: not _is_alive(worker))
    assert not Path(tmp_path, "ended").exists()


INTERRUPTED = """
import os, sys, time
from pathlib import Path
from penstock import DaskRunner, DataCatalog, node
from penstock.pipeline import pipeline
folder = sys.argv[1]
def slow():
    Path(folder, "pid").write_text(str(os.getpid()))
    time.sleep(30)
    Path(folder, "ended").touch()
if __name__ == "__main__":
    try:
        DaskRunner(n_workers=1).run(pipeline([node(slow, None, "b", name="slow")]), DataCatalog())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_ctrl_c_twice_while_a_cluster_starts_closes_it_when_it_has_started(monkeypatch):
    """The first one is waited for, so the second one comes."""
    started, closed = threading.Event(), []

    class Opened:
        def __init__(self, name):
            self.close = lambda: closed.append(name)

    def start(_):
        started.wait(30)
        return Opened("cluster"), Opened("client")

    monkeypatch.setattr(connect, "_start", start)
    press = (os.kill, (os.getpid(), signal.SIGINT))
    timers = [threading.Timer(0.3, *press), threading.Timer(0.8, *press), threading.Timer(1.5, started.set)]
    for timer in timers:
        timer.start()

    with pytest.raises(KeyboardInterrupt):
        DaskRunner(n_workers=1).run(pipeline([node(add_one, "a", "b")]), DataCatalog({"a": 1}))

    assert closed == ["client", "cluster"]


class Lasting(LocalCluster):
    """Does not end."""

    async def _close(self):
        await asyncio.sleep(3600)


def test_a_cluster_that_does_not_end_is_not_waited_for_for_ever(monkeypatch, caplog):
    monkeypatch.setattr(connect, "CLOSE_SECONDS", 0.2)
    cluster = Lasting(n_workers=1, processes=False, dashboard_address="127.0.0.1:0")
    try:
        started = futures.Future()
        started.set_result((cluster, Client(cluster, set_as_default=False)))

        connect._close(started)
    finally:
        cluster.sync(LocalCluster._close, cluster)

    assert "The cluster did not close within 0.2 s" in caplog.text


UNGUARDED = """
from penstock import DaskRunner, run
from penstock.pipeline import node, pipeline
run(pipeline([node(abs, "x", "y")]), {"x": -1}, DaskRunner(n_workers=1, dashboard_address="127.0.0.1:0"))
"""


@pytest.mark.apart
@pytest.mark.cluster
@pytest.mark.skipif(
    distributed.__version__.startswith("2025."), reason="this Dask starts its workers again and again"
)
def test_a_script_without_a_guard_gets_an_error_that_asks_for_one(script):
    _, errors = script(UNGUARDED).communicate(timeout=60)

    last = errors.splitlines()[-1]
    assert last.startswith(
        "penstock.errors.ClusterError: The local cluster did not start (Nanny failed to start.)"
    )
    assert 'under `if __name__ == "__main__":`' in last


@pytest.mark.cluster
def test_a_value_that_cannot_travel_to_its_reader_ends_the_run():
    """The copy of a lock fails at once; a value that is passed on without a copy fails only when it is sent."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        catalog = DataCatalog({"lock": MemoryDataset(copy_mode="assign")})
        nodes = pipeline(
            [
                node(threading.Lock, None, "lock", name="make"),
                *[node(lambda lock: time.sleep(0.5), "lock", None, name=f"use_{k}") for k in range(4)],
            ]
        )
        errors = []

        def run():
            try:
                DaskRunner(client).run(nodes, catalog)
            except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(8)

        assert errors
        assert "make" in str(errors[0])


def test_the_repr_of_an_output_says_which_worker_has_it(client):
    result = DaskRunner(client).run(ADD, DataCatalog({"a": 1}))
    (worker,) = client.who_has().values()

    text, value = repr(result["b"]), result["b"].load()

    assert f"data='<on the cluster: worker {worker[0]}, 28 B>'" in text
    assert (value, "data='<int>'" in repr(result["b"])) == (2, True)


class HomeOnly:
    """It can be unpickled only in the process that made it: a model on a device of that machine."""

    def __init__(self, process=None):
        self.process = process or os.getpid()
        if self.process != os.getpid():
            raise OSError("no such device")

    def __reduce__(self):
        return HomeOnly, (self.process,)


def made_on_each_worker(make):
    """A node for each worker that makes a value, and one that reads both: one value has to be fetched."""

    def meet(diary, me, other):
        diary.note(me)
        assert eventually(lambda: other in diary.kinds())
        return make()

    def nodes(diary):
        one = node(lambda: meet(diary, "one", "other"), None, "one", name="one")
        other = node(lambda: meet(diary, "other", "one"), None, "other", name="other")
        return pipeline([one, other, node(lambda one, other: 1, ["one", "other"], "end", name="both")])

    return nodes


def test_a_value_that_another_worker_cannot_unpickle_is_an_error_of_its_reader(client, tmp_path):
    """Dask would fetch it again and again, and say nothing."""
    nodes = made_on_each_worker(HomeOnly)(Diary(tmp_path / "diary"))

    with pytest.raises(OSError, match="no such device") as raised:
        DaskRunner(client).run(nodes, DataCatalog())

    assert "Raised while the HomeOnly of " in raised.value.__notes__[0]


def test_a_large_value_in_a_graph_of_ones_own_reaches_its_task(client):
    graph = {"large": DataNode("large", np.ones(1_000_000)), "sum": Task("sum", np.sum, TaskRef("large"))}

    assert DaskRunner(client).get(graph, ["sum"]) == [1_000_000]


def test_an_array_of_objects_that_cannot_be_pickled_is_refused(client, tmp_path):
    nodes = made_on_each_worker(lambda: np.array([threading.Lock()]))(Diary(tmp_path / "diary"))

    with pytest.raises(
        CannotSendError, match=r"output '(one|other)' of node '(one|other)', a ndarray: TypeError"
    ):
        DaskRunner(client).run(nodes, DataCatalog())
