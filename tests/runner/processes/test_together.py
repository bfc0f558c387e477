"""Which tasks a worker does in one hand-out."""

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from penstock import DataCatalog, ParallelRunner, SequentialRunner
from penstock.io import AbstractDataset
from penstock.pipeline import node, pipeline
from penstock.runner.processes.exchange import DriverExchange
from penstock.runner.processes.pool import RunExecutor, WorkerPool
from penstock.runner.processes.shared_memory import RunFolder
from penstock.runner.processes.together import HandOuts


class Stored(AbstractDataset):
    """Loads an object that cannot leave its process, and saves the ids of the processes that it went through."""

    def __init__(self, path):
        self.path = path

    def load(self):
        return [threading.Lock(), os.getpid()]

    def save(self, data):
        self.path.write_text(" ".join(map(str, [*data[1:], os.getpid()])))

    def _describe(self):
        return {"path": self.path}


def with_process(data):
    return [*data, os.getpid()]


def names_of(nodes, stored, tmp_path):
    """What the first task of each kind is handed out with, in words, when nothing is done yet."""
    catalog = DataCatalog({name: Stored(tmp_path / name) for name in stored})
    plan = SequentialRunner().plan(pipeline(nodes), catalog)
    hand_outs = HandOuts(plan.graph, plan.keys)
    return {
        f"{task.kind} {task.dataset or task.node}": [
            f"{plan.tasks[each].kind} {plan.tasks[each].dataset or plan.tasks[each].node}"
            for each in hand_outs.followers(key)
        ]
        for key, task in plan.tasks.items()
    }


def test_a_load_its_node_and_its_save_run_in_one_process_which_keeps_the_data(tmp_path):
    """A lock cannot be pickled: neither the loaded data nor the output leaves the process."""
    catalog = DataCatalog({name: Stored(tmp_path / name) for name in ("raw", "clean")})

    ParallelRunner(2).run(pipeline([node(with_process, "raw", "clean", name="add")]), catalog)

    assert len(set((tmp_path / "clean").read_text().split())) == 1


def test_each_task_has_its_event_all_the_same(tmp_path):
    """The record of a node has the seconds of its load, its call and its save."""
    catalog = DataCatalog({name: Stored(tmp_path / name) for name in ("raw", "clean")})

    result = ParallelRunner(1).run(pipeline([node(with_process, "raw", "clean", name="add")]), catalog)

    [record] = result.records
    assert all([record.load_seconds, record.call_seconds, record.save_seconds])


def test_what_follows_a_task_that_fails_is_not_done(tmp_path):
    catalog = DataCatalog({name: Stored(tmp_path / name) for name in ("raw", "clean")})

    with pytest.raises(ZeroDivisionError):
        ParallelRunner(1).run(pipeline([node(lambda _: 1 / 0, "raw", "clean", name="fail")]), catalog)

    assert not (tmp_path / "clean").exists()


def test_a_load_takes_its_node_and_its_saves_along(tmp_path):
    nodes = [node(lambda x: (x, x), "raw", ["clean", "copy"], name="split")]

    found = names_of(nodes, ["raw", "clean", "copy"], tmp_path)

    assert found["load raw"] == ["call split", "save clean", "save copy"]


def test_loads_of_one_node_are_handed_out_by_themselves(tmp_path):
    """They may take long: two processes load at the same time."""
    nodes = [node(lambda x, y: [x, y], ["one", "two"], "both", name="join")]

    found = names_of(nodes, ["one", "two", "both"], tmp_path)

    assert found["load one"] == found["load two"] == []
    assert found["call join"] == ["save both"]


def test_a_node_that_another_one_waits_for_is_not_kept_until_a_save_is_done(tmp_path):
    """Readers of a picked output begin as soon as it is there."""
    nodes = [
        node(lambda x: (x, 1), "raw", ["clean", "count"], name="split"),
        node(str, "count", "text", name="show"),
    ]

    found = names_of(nodes, ["raw", "clean"], tmp_path)

    assert found["load raw"] == ["call split"]


def test_a_task_that_the_pool_cancels_is_cancelled_for_dask():
    """Or else Dask would wait for its result."""
    exchange = DriverExchange(RunFolder("none", Path("none")))
    exchange.followers = {"cancelled": []}
    with contextlib.closing(WorkerPool(1)) as pool:
        running = pool.executor.submit(time.sleep, 60)
        waiting = [pool.executor.submit(os.getpid) for _ in range(8)]
        answer = RunExecutor(pool, 1, exchange).submit(len, [("cancelled", b"")])

        assert pool.executor._pending_work_items.popitem()[1].future.cancel()

        assert answer.cancelled()
        assert not any(each.done() for each in (running, *waiting))


def test_a_graph_without_nodes_is_handed_out_task_by_task():
    assert ParallelRunner(1).get({"a": (int, "1"), "b": (str, "a")}, ["b"]) == ["1"]
