"""RunResult and NodeRecord: what a run gives back; select_runner: which runner suits a pipeline."""

from __future__ import annotations

import logging
import pickle
import re

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


# The timetable


def timetable(**options):
    """Of three nodes that differ a thousand times in their seconds."""
    records = [
        NodeRecord("late", "w1", 1_000.0 + 61.25, 0.0, 12.345, 0.0),
        NodeRecord("first", "w2", 1_000.0, 0.00012345, 1.5, 1234.5),
        NodeRecord("tiny", "w1", 1_000.0 + 0.25, 0.0000004, 0.0123, 0.0),
    ]
    return RunResult(records=records, run_id="r", seconds=0.0456).timetable(**options)


def test_the_timetable_has_the_start_and_the_digits_that_mean_something():
    """With two decimals, the nodes of a fast pipeline all took 0.00 seconds."""
    header, *rows, total = timetable().splitlines()

    assert re.split(r" {2,}", header) == ["node", "start s", "load s", "call s", "save s", "worker"]
    assert [row.split() for row in rows] == [
        ["first", "0", "0.000123", "1.50", "1234", "w2"],
        ["tiny", "0.250", "0", "0.0123", "0", "w1"],
        ["late", "61.2", "0", "12.3", "0", "w1"],
    ]
    assert total == "3 nodes in 0.0456 s (run r)"
    assert len({row.index(row.split()[-1]) for row in (header, *rows)}) == 1


def test_the_timetable_has_the_slowest_first_on_request():
    rows = timetable(slowest_first=True).splitlines()[1:-1]

    assert [row.split()[0] for row in rows] == ["first", "late", "tiny"]


def test_a_bare_timetable_in_a_notebook_is_a_table():
    """A notebook shows the `repr` of a last expression; that of a text has `\\n` in place of its lines."""
    shown = timetable()

    assert isinstance(shown, str)
    assert repr(shown) == str(shown)
    assert repr(shown).count("\n") == 4


def test_the_timetable_of_no_nodes_has_a_header_and_a_total():
    assert len(RunResult(run_id="r").timetable().splitlines()) == 2
