"""The README's first program: on every runner, and as a file. All that stands in the README is tested by `test_guides.py`."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.guides import README, ROOT, programs, run_in_turn

pytestmark = pytest.mark.apart


FLIGHTS = ROOT / "examples" / "flights" / "README.md"

FIRST, CHANGED_LINE = programs(README)[:2]


def test_the_first_program_is_an_example():
    assert (ROOT / "examples" / "first_run.py").read_text(encoding="utf-8") == FIRST.code


def test_the_first_program_runs_in_an_empty_folder_as_a_script(tmp_path):
    """The README's first screen is what a newcomer copies into a file."""
    script = tmp_path / "first.py"
    script.write_text(FIRST.code)

    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == FIRST.output
    assert (tmp_path / "report.txt").read_text() == "mean 6.0, spread 7.0"


def test_the_first_program_with_typed_functions_gives_the_same(tmp_path):
    """Type checkers take it in their strict modes, which refuse lambdas."""
    typed = (ROOT / "tests" / "typing" / "first_run_typed.py").read_text(encoding="utf-8")

    assert run_in_turn([typed], tmp_path) == [FIRST.output]
    assert typed.endswith(FIRST.code.partition("report = ")[2])


@pytest.mark.parametrize("runner", ["SequentialRunner", "ParallelRunner"])
def test_one_changed_line_gives_the_same_on_another_runner(tmp_path, runner):
    program = FIRST.code.replace("penstock.ThreadRunner()", f"penstock.{runner}()")

    assert run_in_turn([program], tmp_path) == [FIRST.output]


@pytest.mark.cluster
def test_the_changed_line_for_a_cluster_gives_the_same(tmp_path, cluster):
    changed = CHANGED_LINE.code.strip().replace("tcp://scheduler:8786", cluster.scheduler_address)
    program = re.sub(r"^runner = .*$", changed, FIRST.code, flags=re.MULTILINE)

    assert run_in_turn([program], tmp_path) == [FIRST.output]


@pytest.mark.parametrize("runner", ["SequentialRunner", "ThreadRunner"])
def test_the_node_that_logs_and_prints_does_so_on_other_runners(tmp_path, runner):
    """The guide shows it in processes."""
    (program,) = (each for each in programs(FLIGHTS) if "epoch" in each.code)

    assert run_in_turn([program.code.replace("ParallelRunner", runner)], tmp_path) == [program.output]
