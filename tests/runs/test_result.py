"""RunResult and NodeRecord: what a run gives back; select_runner: which runner suits a pipeline."""

from __future__ import annotations

import logging
import pickle

import pytest

from penstock.graph import compile_pipeline
from penstock.io import DataCatalog, PickleDataset
from penstock.pipeline import node, pipeline
from penstock.runner import (
    NodeRecord,
    ParallelRunner,
    RunResult,
    SequentialRunner,
    ThreadRunner,
    select_runner,
)
from penstock.runs.recorder import Recorder
from penstock.tasks.backend import Event
from penstock.testing import add_one


def test_a_result_is_a_dict_with_more():
    """A script written for Kedro's runners finds the dict that it expects."""
    record = NodeRecord("add", "MainThread", 0.0, 1.0, 2.0, 3.0)

    result = RunResult({"b": 2}, producers={"b": "add"}, records=[record], run_id="r", seconds=6.0)

    assert result == {"b": 2}
    assert (result.producers, result.records, result.run_id, result.seconds) == (
        {"b": "add"},
        [record],
        "r",
        6.0,
    )
    assert record.seconds == 6.0


def test_an_empty_result_needs_no_arguments():
    assert RunResult() == {}
    assert RunResult().records == []


def test_a_record_does_not_change_and_travels():
    record = NodeRecord("add", "MainThread", 0.0, 1.0, 2.0, 3.0)

    with pytest.raises(AttributeError):
        record.node = "other"
    assert pickle.loads(pickle.dumps(record)) == record


def wide(count):
    return pipeline([node(add_one, "a", f"out_{number}", name=f"n{number}") for number in range(count)])


@pytest.mark.parametrize(
    ("count", "most", "kind", "workers"),
    [
        (0, 4, SequentialRunner, None),
        (1, 4, SequentialRunner, None),
        (2, 4, ThreadRunner, 2),
        (3, 4, ThreadRunner, 2),
        (4, 4, ParallelRunner, 4),
        (9, 4, ParallelRunner, 4),
        (3, 3, ParallelRunner, 3),
    ],
)
def test_the_runner_is_chosen_by_how_many_nodes_can_run_at_once(count, most, kind, workers):
    runner = select_runner(wide(count), max_parallel_nodes=most)

    assert type(runner) is kind
    assert getattr(runner, "max_workers", None) == workers


def test_a_call_that_is_reported_again_because_its_worker_died_counts_once(tmp_path):
    part = pipeline([node(add_one, "a", "b", name="n")])
    catalog = DataCatalog({"a": 1, "b": PickleDataset(tmp_path / "b.pkl")})
    progress = Recorder(part, catalog, dict(catalog.items()), logging.getLogger(__name__))
    progress.expect(compile_pipeline(part, catalog))

    for where in ("lost", "found"):
        progress(Event("call", "n", "", where, 1.0, 0.0, 60.0, 0.0))
    progress(Event("save", "n", "b", "found", 61.0, 0.0, 0.0, 1.0))

    (record,) = progress.records
    assert (record.worker, record.call_seconds, record.save_seconds) == ("found", 60.0, 1.0)
