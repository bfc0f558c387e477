"""The README is true: its programs run, and print what stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(language):
    """The texts of the README's code blocks in a language, in their order."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )


def printed(program, folder):
    """What a Python program prints, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_program_is_an_example_and_prints_what_stands_below_it(tmp_path):
    first_program, first_output = blocks("python")[0], blocks("text")[0]

    assert (ROOT / "examples" / "first_run.py").read_text() == first_program
    assert printed(first_program, tmp_path) == first_output


def test_the_first_program_runs_in_an_empty_folder_as_a_script(tmp_path):
    """The README's first screen is what a newcomer copies into a file."""
    script = tmp_path / "first.py"
    script.write_text(blocks("python")[0])

    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == blocks("text")[0]
    assert (tmp_path / "report.txt").read_text() == "mean 6.0, spread 7.0"


@pytest.mark.parametrize("runner", ["SequentialRunner", "ParallelRunner"])
def test_one_changed_line_gives_the_same_on_another_runner(tmp_path, runner):
    program = blocks("python")[0].replace("penstock.ThreadRunner()", f"penstock.{runner}()")

    assert printed(program, tmp_path) == blocks("text")[0]


@pytest.mark.cluster
def test_the_changed_line_for_a_cluster_gives_the_same(tmp_path, local_cluster_address):
    changed = blocks("python")[1].strip().replace("tcp://scheduler:8786", local_cluster_address)
    program = re.sub(r"^runner = .*$", changed, blocks("python")[0], flags=re.MULTILINE)

    assert printed(program, tmp_path) == blocks("text")[0]


def test_the_plan_is_the_one_of_the_first_program(tmp_path):
    told = blocks("text")[1]
    show = "print(runner.plan(pipeline([clean, mean, spread, report]), catalog))\n"

    lines = printed(blocks("python")[0] + show, tmp_path).removeprefix(blocks("text")[0])

    assert lines == told


@pytest.mark.parametrize("runner", ["SequentialRunner", "ThreadRunner", "ParallelRunner"])
def test_the_node_that_logs_and_prints_shows_what_stands_below_it(tmp_path, runner):
    program = next(block for block in blocks("python") if "epoch" in block)
    told = next(block for block in blocks("text") if "epoch" in block)

    # Each stream by itself: which of two is seen first is up to their buffers.
    done = subprocess.run(
        [sys.executable, "-c", program.replace("ParallelRunner", runner)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stderr + done.stdout == told


def test_the_plugin_for_hooks_works_as_it_stands():
    plugin = next(block for block in blocks("python") if "class Timing" in block)
    setting = """
import penstock
from penstock.pipeline import node, pipeline
pipe, catalog = pipeline([node(lambda a: a + 1, "a", "b", name="fit")]), {"a": 1}
"""

    assert re.fullmatch(r"fit took \d\.\d\d s\n", printed(setting + plugin, ROOT))


@pytest.fixture(scope="module")
def local_cluster_address():
    from distributed import LocalCluster  # noqa: PLC0415 - takes half a second

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address
