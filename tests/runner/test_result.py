"""What a run gives back, as data and as text."""

from __future__ import annotations

from penstock.runner import NodeRecord, RunResult


def test_a_timetable_has_a_line_a_node_in_the_order_of_their_starts_and_the_total():
    late = NodeRecord("late", "process 2", start=20.0, load_seconds=0.5, call_seconds=1.25, save_seconds=0.0)
    early = NodeRecord(
        "early", "process 1", start=10.0, load_seconds=0.0, call_seconds=12.0, save_seconds=3.0
    )
    result = RunResult(records=[late, early], run_id="today", seconds=21.75)

    told = result.timetable()

    assert told.splitlines() == [
        "node     load s  call s  save s  worker",
        "early      0.00   12.00    3.00  process 1",
        "late       0.50    1.25    0.00  process 2",
        "2 nodes in 21.8 s (run today)",
    ]


def test_the_timetable_of_a_run_of_nothing_is_its_total():
    assert RunResult(run_id="idle").timetable().endswith("0 nodes in 0.0 s (run idle)")
