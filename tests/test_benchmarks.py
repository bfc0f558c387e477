"""The benchmarks run, and compare as they say. What they measure decides no test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="the benchmarks hand over arrays")

from tests.benchmarks import others
from tests.benchmarks.__main__ import BENCHMARKS
from tests.benchmarks.table import COLUMNS, Bar, Result, Row, per_node, seconds, shown, table
from tests.benchmarks.timing import in_turn, ratio, timed
from tests.benchmarks.work import MODULUS, bare, catalog, grid, ours

pytestmark = [pytest.mark.apart, pytest.mark.newest]

ROOT = Path(__file__).parents[1]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the command prints for rows that take no time, and where its picture is."""
    picture = tmp_path_factory.mktemp("benchmarks") / "picture.png"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--only", "sequential", "wire"]
    done = subprocess.run(
        [*command, "--picture", str(picture)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return done.stdout, picture


def test_the_command_prints_a_row_for_each_that_was_asked_for(printed):
    header, _, *rows = [cells(line) for line in printed[0].splitlines() if line.startswith("|")]

    wanted = [(row.what, row.work) for name in ("sequential", "wire") for row in BENCHMARKS[name].rows]
    assert header == list(COLUMNS)
    assert [(what, work) for what, work, *_ in rows] == wanted
    assert all(re.fullmatch(r"[\d.,]+ x", row[COLUMNS.index("ratio")]) for row in rows)


def test_the_machine_stands_below_the_table(printed):
    """A number without its machine says nothing."""
    below = printed[0].rpartition("|")[2]

    assert re.search(r"\d+ cores.*, \d+ GB, .*Python \d+\.\d+", below)
    assert re.search(r"dask \d+\.\d+\.\d+", below)
    assert "the numbers mean nothing" in below


def test_the_guide_shows_each_row_with_the_bar_that_it_has_to_reach():
    guide = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf-8")
    section = guide.partition("\n## Beside bare Dask and Kedro\n")[2].partition("\n## ")[0]
    header, _, *shown_rows = [cells(line) for line in section.splitlines() if line.startswith("|")]

    assert header == list(COLUMNS)
    wanted = [(row.what, row.work, str(row.bar or "-")) for each in BENCHMARKS.values() for row in each.rows]
    assert [(what, work, bar) for what, work, *_, bar, _ in shown_rows] == wanted


def test_the_picture_is_drawn(printed):
    pytest.importorskip("matplotlib")

    assert printed[1].read_bytes().startswith(b"\x89PNG")


def test_the_ratio_is_the_median_of_pairs():
    """A minute in which the machine is slow makes both of a pair slow, and one odd pair changes nothing."""
    ours_taken, others = [1.0, 20.0, 3.0], [2.0, 10.0, 6.0]

    assert ratio(ours_taken, others) == 0.5


def test_contestants_take_turns_after_a_warm_up():
    calls = []
    contestants = {name: lambda name=name: calls.append(name) or float(len(calls)) for name in "ab"}

    taken = in_turn(contestants, rounds=2, warm_ups=1)

    assert "".join(calls) == "baabba"
    assert taken == {"a": [3.0, 6.0], "b": [4.0, 5.0]}


def test_a_call_is_timed_on_the_clock_that_is_given():
    ticks = iter([5.0, 7.5])

    assert timed(lambda: None, lambda: next(ticks)) == 2.5


@pytest.mark.parametrize(
    ("bar", "value", "distance"),
    [(Bar(1.5), 1.2, 0.8), (Bar(1.5), 3.0, 2.0), (Bar(30, is_floor=True), 60, 0.5), (Bar(2), 2, 1)],
)
def test_a_bar_says_how_far_a_value_is_from_it(bar, value, distance):
    assert bar.distance(value) == pytest.approx(distance)
    assert bar.is_reached_by(value) == (distance <= 1)


def test_a_row_says_whether_its_bar_is_reached():
    row = Row("what", "work", Bar(1.5))
    results = [Result("1", "1", value=1.0), Result("2", "1", value=2.0), Result("1")]

    lines = table([*((row, result) for result in results), (Row("what", "work"), results[1])]).splitlines()

    assert [cells(line)[-1] for line in lines[2:]] == ["yes", "no", "not measured", "-"]
    assert len({len(line) for line in lines}) == 1


def test_numbers_have_the_digits_that_mean_something():
    assert [shown(value) for value in (1234.5, 56.78, 1.234)] == ["1,234", "56.8", "1.23"]
    assert [seconds(value) for value in (2.0, 0.012, 3e-5)] == ["2.00 s", "12.0 ms", "30.0 µs"]
    assert per_node(0.1, 1_000) == "100 µs a node"


def test_ours_and_bare_dask_do_the_same_work():
    """A comparison of two programs that do different things would be none."""
    from dask.local import get_sync  # noqa: PLC0415

    from penstock import SequentialRunner  # noqa: PLC0415

    steps = grid(4, 3)

    mine = SequentialRunner().run(ours(steps), catalog())["total"].load()

    graph, key = bare(steps)
    assert len(steps) == len(graph) == 13
    assert mine == get_sync(graph, key)
    assert 0 < mine < MODULUS


def test_the_guide_has_a_row_for_each_other_tool():
    guide = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf-8")
    section = guide.partition("\n## Beside Prefect and Dagster\n")[2].partition("\n## ")[0]
    header, _, *rows = [cells(line) for line in section.splitlines() if line.startswith("|")]

    assert header == list(others.COLUMNS)
    assert [(row[0].split()[0], row[1], row[3]) for row in rows] == [
        (tool.name, tool.how, f"`{type(tool.runner).__name__}`") for tool in others.TOOLS.values()
    ]


def test_other_tools_that_are_not_installed_are_left_out(monkeypatch, capsys):
    monkeypatch.setattr(others, "TOOLS", {"nosuchtool": None})

    others.main([])

    printed = capsys.readouterr().out
    assert cells(printed.splitlines()[0]) == list(others.COLUMNS)
    assert "1,001 nodes" in printed
    assert re.search(r"dask \d+\.\d+\.\d+", printed)
