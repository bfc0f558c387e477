"""The process that starts when a `ParallelRunner` is made: what uses it, what does not, and when it ends."""

from __future__ import annotations

import ast
from typing import Any

import pytest

START = """
import os, pickle, threading, time
from pathlib import Path

import psutil
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline

import penstock.kedro.early_worker
from penstock.kedro import ParallelRunner

bootstrap_project(Path.cwd())
here = pipeline([node(lambda x: os.getpid(), "x", "process", name="tell")])

def catalog():
    return DataCatalog({"x": MemoryDataset(1)})

def command(process):
    \"\"\"The command line; empty for a process that has ended since it was found.\"\"\"
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""

def workers():
    \"\"\"The worker processes that there are; loky has one beside them, which keeps an account of its files.\"\"\"
    return {each.pid for each in psutil.Process().children() if "loky.backend.popen_loky" in command(each)}

def none_is_left():
    deadline = time.monotonic() + 60
    while workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not workers()

"""


@pytest.fixture
def seen(project):
    """What a script says that it has seen in a process that has entered the project and has not imported its pipelines."""

    def seen(script: str) -> Any:
        project.write("script.py", f"{START}{script}\nprint('seen:', seen)\n")
        return ast.literal_eval(project.python("script.py").partition("seen: ")[2])

    return seen


def test_a_run_begins_in_the_process_that_has_imported_its_pipelines(seen):
    early, used, is_none_left = seen("""
runner = ParallelRunner(max_workers=1)
early = workers()
with KedroSession.create() as session:
    result = session.run(runner=runner)
seen = early, {int(each.worker.split()[1]) for each in result.records}, none_is_left()
""")

    assert len(early) == 1
    assert early == used
    assert is_none_left


def test_modules_are_imported_with_the_environment_variables_of_the_run(project, seen):
    """Hooks set some after Kedro has made the runner, and modules read them when they are imported."""
    project.write(
        "src/door/gauges.py",
        "import os\nMODE = os.environ.get('DOOR_MODE', 'day')\n" + project.read("src/door/gauges.py"),
    )
    used, early, is_none_left = seen("""
runner = ParallelRunner(max_workers=1)
early = workers()
runner._early_worker._state.result()
os.environ["DOOR_MODE"] = "night"

def mode(x):
    from door.gauges import MODE
    return MODE, os.getpid()

result = runner.run(pipeline([node(mode, "x", "seen", name="tell")]), catalog())
seen = result["seen"].load(), early, none_is_left()
""")

    assert used[0] == "night"
    assert used[1] not in early
    assert is_none_left


def test_a_run_has_the_code_that_the_project_has_when_it_begins(seen):
    drops = seen("""
runner = ParallelRunner(max_workers=1)
runner._early_worker._state.result()
file = Path("src/door/gauges.py")
file.write_text(file.read_text().replace("self.scale * drops", "1000 * drops"))

def read(x):
    from door.gauges import Gauge
    return Gauge(2, 0).read(x)

seen = runner.run(pipeline([node(read, "x", "drops", name="read")]), catalog())["drops"].load()
""")

    assert drops == 1000


def test_the_process_ends_with_the_first_run_whatever_becomes_of_it(seen):
    refused, second, killed, timers = seen("""
runner = ParallelRunner(max_workers=2)
assert len(workers()) == 1
try:
    runner.run(here, DataCatalog({}))
except ValueError:
    refused = none_is_left()
second = runner.run(here, catalog())["process"].load() > 0 and none_is_left()

runner = ParallelRunner(max_workers=2)
[early] = workers()
os.kill(early, 9)
killed = runner.run(here, catalog())["process"].load() != early and none_is_left()
seen = refused, second, killed, [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
""")

    assert refused
    assert second
    assert killed
    assert not timers


def test_a_runner_that_runs_nothing_leaves_no_process(seen):
    opened, late = seen("""
with ParallelRunner(max_workers=1) as runner:
    before = workers()
    opened = runner.run(here, catalog())["process"].load() in before and len(before) == 1

penstock.kedro.early_worker.MAX_SECONDS = 0.1
runner = ParallelRunner(max_workers=2)
late = none_is_left() and runner.run(here, catalog())["process"].load() > 0
seen = opened, late
""")

    assert opened
    assert late


def test_pickles_and_forks_of_a_runner_leave_its_process_alone(seen):
    pickled, forked, used = seen("""
runner = ParallelRunner(max_workers=1)
early = workers()
pickled = pickle.loads(pickle.dumps(runner)).run(here, catalog())["process"].load() not in early
child = os.fork()
if not child:
    os._exit(runner.run(here, catalog())["process"].load() in early)
forked = os.waitpid(child, 0)[1] == 0
used = runner.run(here, catalog())["process"].load() in early
seen = pickled, forked, used
""")

    assert pickled
    assert forked
    assert used


def test_no_process_starts_early_for_pipelines_that_are_imported(seen):
    assert (
        seen("""
dict(pipelines)
runner = ParallelRunner(max_workers=2)
seen = workers()
""")
        == set()
    )
