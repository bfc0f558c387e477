"""A cluster that several things share, for long: runs in runs, Dask's collections in nodes, workers that come and go, metrics."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from pathlib import Path

import pytest
from distributed import Client, LocalCluster, get_client, get_worker

from penstock import DaskRunner, DataCatalog, TextDataset
from penstock.pipeline import node, pipeline
from penstock.runner.cluster import checks, session
from penstock.runner.cluster.workers import waiting
from penstock.testing import add_one

pytestmark = [pytest.mark.apart, pytest.mark.cluster]


@pytest.fixture(scope="module")
def narrow():
    """A client of a cluster of one worker, which does one thing at a time."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def run_by_the_workers_client(x):
    inner = pipeline([node(add_one, "y", "z", name="inner")])
    return DaskRunner(get_client()).run(inner, DataCatalog({"y": x}))["z"].load()


def run_by_the_address(x):
    inner = pipeline([node(add_one, "y", "z", name="inner")])
    return DaskRunner(get_worker().scheduler.address).run(inner, DataCatalog({"y": x}))["z"].load()


def run_of_runs(x):
    inner = pipeline([node(run_by_the_workers_client, "y", "z", name="middle")])
    return DaskRunner(get_client()).run(inner, DataCatalog({"y": x}))["z"].load()


@pytest.mark.parametrize("work", [run_by_the_workers_client, run_by_the_address, run_of_runs])
def test_runs_inside_tasks_end_although_a_worker_does_one_thing_at_a_time(narrow, work):
    nodes = pipeline([node(work, f"x{k}", f"z{k}", name=f"outer{k}") for k in range(3)])

    result = DaskRunner(narrow).run(nodes, DataCatalog({f"x{k}": k for k in range(3)}))

    assert [result[f"z{k}"].load() for k in range(3)] == [1, 2, 3]


def test_a_node_may_compute_a_dataframe_of_dasks_on_the_worker_that_it_runs_on(narrow):
    pytest.importorskip("dask.dataframe", reason="it needs pandas and pyarrow", exc_type=ImportError)

    def totals(count):
        import dask.dataframe as dd  # noqa: PLC0415
        import pandas as pd  # noqa: PLC0415

        flow = pd.DataFrame({"river": ["Aare", "Rhone"] * count, "flow": range(2 * count)})
        return dd.from_pandas(flow, npartitions=4).groupby("river")["flow"].sum().compute().to_dict()

    nodes = pipeline([node(totals, f"x{k}", f"y{k}", name=f"totals{k}") for k in range(2)])

    result = DaskRunner(narrow).run(nodes, DataCatalog({"x0": 10, "x1": 10}))

    assert [result[f"y{k}"].load() for k in range(2)] == [{"Aare": 90, "Rhone": 100}] * 2


def hold(fifo):
    """Do not release the interpreter, like C code that knows nothing of Python, until there is something to read."""
    with Path(fifo).open("rb") as file:
        ctypes.PyDLL(None).read(file.fileno(), ctypes.create_string_buffer(1), 1)


def test_a_run_begins_and_ends_although_a_worker_does_not_answer(narrow, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(session, "WORKER_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(checks, "WORKER_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(session, "WORKER_NOTICE_SECONDS", 0.2)
    nodes = pipeline([node(add_one, "x", "y", name="add")])
    (worker,) = narrow.nthreads()
    os.mkfifo(tmp_path / "fifo")
    held = narrow.submit(hold, str(tmp_path / "fifo"), pure=False)

    def warnings():
        return [record.getMessage() for record in caplog.records if record.name == checks.__name__]

    with (tmp_path / "fifo").open("wb", buffering=0) as fifo:
        # The node has opened the other end; a moment later its worker does not answer any more.
        time.sleep(0.2)
        letting_go = threading.Thread(target=lambda: (until(warnings), fifo.write(b"x")))
        letting_go.start()

        result = DaskRunner(narrow).run(nodes, DataCatalog({"x": 1}))

        letting_go.join()
    assert result["y"].load() == 2
    (warned,) = warnings()
    assert warned.startswith(
        f"No answer in 0.2 s from worker {worker}; a task there does not release the interpreter"
    )
    held.result()
    until(lambda: not [name for name in narrow.run(plugins_there)[worker] if "penstock" in name])


def plugins_there(dask_worker):
    return list(dask_worker.plugins)


def test_a_long_wait_is_logged_and_then_warned_about(monkeypatch, caplog):
    monkeypatch.setattr(waiting, "FIRST_LOG_SECONDS", 0.3)
    monkeypatch.setattr(waiting, "WORKER_POLL_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "WARNING_AFTER_SECONDS", 0.6)

    with caplog.at_level("INFO"), waiting.log_while_waiting("the river"):
        until(lambda: "WARNING" in [record.levelname for record in caplog.records])

    lines = [record.getMessage() for record in caplog.records]
    assert all(re.fullmatch(r"Still waiting for the river \(\d+ s so far\)", line) for line in lines)


def test_a_long_wait_is_logged_less_and_less_often():
    schedule = waiting.LogSchedule(100.0)

    logged = [(now, schedule.level(now)) for now in range(100, 300) if schedule.is_due(now)]

    assert logged[:4] == [
        (102, logging.INFO),
        (106, logging.INFO),
        (114, logging.WARNING),
        (130, logging.WARNING),
    ]


ADAPTIVE = []
"""The cluster and what adapts it, for its workers, which are threads of this process."""


def until(is_so):
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, "it never was so"
        time.sleep(0.02)


def workers():
    return len(ADAPTIVE[0].scheduler.workers)


def shrink():
    ADAPTIVE[1].wait_count = 2


def states(word):
    return [task.state for key, task in ADAPTIVE[0].scheduler.tasks.items() if word in str(key)]


def test_a_cluster_that_adapts_grows_and_shrinks_under_a_run(tmp_path):
    """A worker that is sent home leaves what it holds to the others: no node is called twice for it."""

    def wide(k):
        with (tmp_path / "calls").open("a") as calls:
            calls.write(f"{k}\n")
        until(lambda: len((tmp_path / "calls").read_text().split()) > 1)
        return k

    def narrow(*numbers):
        # A worker that is sent home while it works leaves its work to be done again: so not before.
        until(lambda: states("wide") == ["memory"] * 4)
        shrink()
        until(lambda: workers() == 1)
        return sum(numbers)

    parts = [node(lambda x, k=k: wide(k), "x", f"y{k}", name=f"wide{k}") for k in range(4)]
    names = [f"y{k}" for k in range(4)]
    last = node(lambda *numbers: sum(numbers), [*names, "z"], "total", name="last")
    with LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        never = 1_000_000
        adaptive = cluster.adapt(
            minimum=0, maximum=2, interval="50ms", wait_count=never, target_duration="100ms"
        )
        ADAPTIVE[:] = [cluster, adaptive]

        result = DaskRunner(cluster).run(
            pipeline([*parts, node(narrow, "y0", "z", name="narrow"), last]), DataCatalog({"x": 1})
        )

        assert result["total"].load() == 6
        assert sorted((tmp_path / "calls").read_text().split()) == ["0", "1", "2", "3"]
        assert len({record.worker for record in result.records}) == 2


# What is left of many runs

STORED = pipeline(
    [
        node(add_one, "x", "level", name="gauge-river"),
        node(str, "level", "written", name="write_down"),
        node(len, "written", "length", name="measure_text"),
    ]
)


def run_stored(client, folder):
    catalog = DataCatalog({"x": 1, "written": TextDataset(folder / "level.txt")})
    assert DaskRunner(client).run(STORED, catalog)["length"].load() == 1


def test_metrics_have_one_label_a_node_however_often_it_runs(narrow, tmp_path):
    """A label for each run would fill the memory of the metrics server of a shared cluster, and show no node over time."""
    pytest.importorskip("prometheus_client", reason="Dask has no metrics without prometheus_client")

    for _ in range(3):
        run_stored(narrow, tmp_path)

    port = narrow.scheduler_info()["services"]["dashboard"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        metrics = answer.read().decode()
    finished = r'^dask_scheduler_prefix_state_totals_total\{state="memory",task_prefix_name="(.*?)"\} (.*)$'
    times_by_label = {label: float(times) for label, times in re.findall(finished, metrics, re.MULTILINE)}
    names = {"gauge_river", "write_down", "save:written", "load:written", "measure_text"}
    assert {label for label in times_by_label if re.search("gauge|writ|measure", label)} == names
    assert min(times_by_label[name] for name in names) >= 3


RUNS = 10

KEPT_BY_DASK = {
    "spans.spans",
    "spans.root_spans",
    "spans.spans_search_by_name",
    "spans.spans_search_by_tag",
    "digests_total",
    "digests_max",
    "digests_total_since_heartbeat",
    "cumulative_worker_metrics",
}
"""What grows with each computation on any cluster: its span, and how long what took in it; or from one heartbeat to the next."""


def sizes(dask_scheduler=None, dask_worker=None):
    """How much each collection of a scheduler or worker holds, unless it has a largest length."""
    server = dask_scheduler or dask_worker
    parts = {
        "": server,
        "state.": getattr(server, "state", None),
        "broker.": getattr(server, "_broker", None),
    }
    parts |= {f"{name}.": extension for name, extension in server.extensions.items()}
    return {
        prefix + name: len(value)
        for prefix, part in parts.items()
        for name, value in attributes(part)
        if isinstance(value, dict | set | list) or (isinstance(value, deque) and value.maxlen is None)
    }


def attributes(thing):
    slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    return [(name, getattr(thing, name, None)) for name in {*getattr(thing, "__dict__", ()), *slots}]


def test_nothing_of_ours_grows_with_the_number_of_runs(narrow, tmp_path):
    """A cluster lives for weeks and sees thousands of runs."""

    def all_sizes():
        return [narrow.run_on_scheduler(sizes), *narrow.run(sizes).values()]

    run_stored(narrow, tmp_path)
    before = all_sizes()
    for _ in range(RUNS):
        run_stored(narrow, tmp_path)
    after = all_sizes()

    grown = [
        {name for name in new if new[name] - old.get(name, 0) >= RUNS}
        for old, new in zip(before, after, strict=True)
    ]
    assert set.union(*grown) <= KEPT_BY_DASK
    assert grown[0], "Dask's own growth is seen"


KILLED = """
import time
from penstock import DaskRunner, DataCatalog, TextDataset, node
from penstock.pipeline import pipeline

def wait(text):
    print("at work", flush=True)
    time.sleep(3)

nodes = [node(lambda: "saved", None, "text", name="make"), node(wait, "text", "end", name="wait")]
DaskRunner("ADDRESS").run(pipeline(nodes), DataCatalog({"text": TextDataset("FILE")}))
"""


def plugins_on(dask_scheduler):
    names = [*dask_scheduler.plugins, *dask_scheduler.worker_plugins, *dask_scheduler._broker._topics]
    return [name for name in names if str(name).startswith("penstock-")]


def tasks_on(dask_scheduler):
    return [str(key) for key in dask_scheduler.tasks]


def test_a_driver_that_is_killed_leaves_nothing_on_the_cluster(narrow, tmp_path):
    """One a night would add up: each worker would send what the nodes of dead drivers log, without a receiver."""
    command = [
        sys.executable,
        "-c",
        KILLED.replace("ADDRESS", narrow.scheduler.address).replace("FILE", str(tmp_path / "text.txt")),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as driver:
        assert driver.stdout.readline() == b"at work\n"
        during = narrow.run_on_scheduler(plugins_on)
        driver.kill()

    deadline = time.monotonic() + 30
    while (
        narrow.run_on_scheduler(plugins_on) + narrow.run_on_scheduler(tasks_on)
        and time.monotonic() < deadline
    ):
        time.sleep(0.1)
    assert during
    assert narrow.run_on_scheduler(plugins_on) == []
    assert narrow.run_on_scheduler(tasks_on) == []
    assert set(narrow.run(lambda: type(sys.stdout).__module__).values()) != {"penstock.logs.capture"}
