"""`kedro run` with each of our runners, as its users call it, on a project that is not installed."""

from __future__ import annotations

import json
import pickle
import re
import shutil

import pytest

from tests.kedro.conftest import TAKES_RUNNER_PARAMS, Project

RUNNERS = [
    pytest.param("SequentialRunner", marks=pytest.mark.newest),
    pytest.param("ThreadRunner", marks=pytest.mark.newest),
    "ParallelRunner",
    pytest.param("DaskRunner", marks=pytest.mark.cluster),
]


@pytest.fixture(params=RUNNERS)
def run(request):
    """`kedro run` with one of our runners; `DaskRunner` uses a cluster that is there already."""
    if request.param == "DaskRunner":
        return request.getfixturevalue("cluster").run

    def run(project, *arguments, fails=False):
        return project.run(request.param, *arguments, fails=fails)

    return run


def end(project):
    return json.loads(project.read("data/end.json"))["checked"]


def versions(project, name):
    return sorted(path.name for path in (project.path / "data" / name).iterdir())


def before(notes):
    """The nodes that ran."""
    return [note.split()[1] for note in notes if note.startswith("before ")]


def test_values_and_hooks_are_those_of_kedros_sequential_runner(run, project, finished):
    """Each hook of each node and dataset fires as often, with the same arguments; only the order between datasets is free."""
    printed = run(project)

    assert project.notes() == finished.notes()
    assert end(project) == end(finished) == 2 * (2 * 6 + 3)
    assert "Completed node end (10 of 10)" in printed
    for report in ("south_report.json", "both.json"):
        assert versions(project, report) == versions(project, "north_report.json"), "one version for a run"


@pytest.fixture(scope="module")
def failed(template, tmp_path_factory):
    """The project after a failed run by Kedro itself, and what it printed."""
    folder = tmp_path_factory.mktemp("failed") / "door"
    return break_down(
        Project(shutil.copytree(template, folder)), lambda project: project.kedro("run", fails=True)
    )


def break_down(project, run):
    project.write("conf/base/parameters.yml", "{scale: 2, site: {offset: 0}, most: 29}")
    printed = run(project)
    return project.notes(), printed


def test_a_failure_is_the_nodes_own_and_the_log_says_where_to_resume(run, project, failed):
    expected_notes, expected = failed

    notes, printed = break_down(project, lambda project: run(project, fails=True))

    assert "ValueError: the drain is blocked at 30" in printed
    assert hint(printed) == hint(expected)
    assert [note for note in notes if "fail" in note or "error" in note] == [
        "error stop the drain is blocked at 30",
        "pipeline failed ValueError",
    ]
    assert [note for note in expected_notes if note not in notes] == []
    assert not (project.path / "data" / "end.json").exists()


def hint(printed):
    """The nodes to resume from. A sequential run stops at once, others may have finished more."""
    (names,) = re.findall(r'--from-nodes "([^"]*)"', printed)
    return names


def test_only_missing_outputs_are_made(run, finished, kedros_choice):
    (finished.path / "data" / "end.json").unlink()
    finished.notes()

    printed = run(finished, "--only-missing-outputs")

    assert before(finished.notes()) == kedros_choice
    assert end(finished) == 30
    assert re.search(r"Skipped: .*north\.report", printed)


@pytest.fixture(scope="module")
def kedros_choice(ran, tmp_path_factory):
    """The nodes that Kedro itself runs when one output is missing."""
    project = Project(shutil.copytree(ran, tmp_path_factory.mktemp("choice") / "door"))
    (project.path / "data" / "end.json").unlink()
    project.notes()
    project.kedro("run", "--only-missing-outputs")
    return before(project.notes())


def test_parts_are_chosen_by_tags_and_namespaces_and_parameters_are_given(run, project, request):
    """The sites measure with the gauge that `calibrate` makes of the parameters; the hook adds 1 to the offset."""
    is_async = "ThreadRunner" not in request.node.callspec.id  # as Kedro's own
    run(project, "--tags=gauge", "--params=site.offset=5,scale=1", "--async")
    gauged = project.notes()

    run(project, "--namespaces=south", "--tags=sum", "--async")

    assert before(gauged) == ["calibrate", "north.measure", "south.measure"]
    assert f"before calibrate parameters params:site.offset {is_async}" in gauged
    assert before(project.notes()) == ["south.total"]
    assert pickle.loads((project.path / "data" / "north_measured.pkl").read_bytes()) == [7, 8, 9]


def test_it_resumes_from_the_given_node_with_the_given_version(run, finished):
    """`both` has two versions; the next node gets the older one if `--load-versions` says so."""
    (older,) = versions(finished, "both.json")
    newer = finished.path / "data" / "both.json" / "2999-01-01T00.00.00.000Z" / "both.json"
    newer.parent.mkdir()
    newer.write_text("1000")
    (finished.path / "data" / "end.json").unlink()
    finished.notes()

    run(finished, "--from-nodes=stop", f"--load-versions=both:{older}")

    assert before(finished.notes()) == ["end", "stop"]
    assert end(finished) == 30


needs_runner_params = pytest.mark.skipif(
    not TAKES_RUNNER_PARAMS, reason="Kedro has --runner-params from 1.6 on"
)


POLICY = "--runner-params=policies.stop.retries=1,policies.calibrate.retries=1"


@needs_runner_params
@pytest.mark.newest
@pytest.mark.parametrize(
    ("selected", "nodes"),
    [
        ("--to-outputs=gauge", ["calibrate"]),
        ("--pipeline=sites", ["north.measure", "south.measure"]),
        ("--namespaces=north", ["north.measure", "north.report", "north.total"]),
    ],
)
def test_policies_may_be_for_nodes_that_are_not_selected(finished, selected, nodes):
    """One file of parameters serves all that is run of a project."""
    finished.write("src/door/pipeline_registry.py", SITES)
    finished.write("conf/base/catalog.yml", finished.read("conf/base/catalog.yml") + GAUGE)
    finished.notes()
    finished.kedro("run", "--to-outputs=gauge")
    finished.notes()

    printed = finished.run("SequentialRunner", POLICY, selected)

    assert before(finished.notes()) == nodes
    assert re.search("the runner has policies: .*'stop'", printed)


GAUGE = """
gauge:
  type: pickle.PickleDataset
  filepath: data/gauge.pkl
"""

SITES = """
from door.pipelines import rain


def register_pipelines():
    whole = rain.create_pipeline()
    return {"__default__": whole, "sites": whole.only_nodes_with_tags("gauge") - whole.only_nodes("calibrate")}
"""


@needs_runner_params
@pytest.mark.newest
def test_what_the_log_says_resumes_a_run_with_policies(project):
    _, printed = break_down(project, lambda project: project.run("SequentialRunner", POLICY, fails=True))
    project.write("conf/base/parameters.yml", "{scale: 2, site: {offset: 0}}")

    project.run("SequentialRunner", POLICY, f"--from-nodes={hint(printed)}")

    assert end(project) == 30


@needs_runner_params
def test_a_cluster_is_named_on_the_command_line(project, cluster):
    project.run(
        "DaskRunner",
        f"--runner-params=address={cluster.address},security.require_encryption=false",
        "--tags=gauge",
    )

    assert before(project.notes()) == ["calibrate", "north.measure", "south.measure"]


@needs_runner_params
def test_a_local_cluster_is_started_for_a_run_and_says_nothing_of_itself(project):
    """Dask tells of every step of its workers, and Kedro's log would show it all."""
    printed = project.run("DaskRunner", "--runner-params=n_workers=1,threads_per_worker=2")

    assert end(project) == 30
    assert "Completed node end (10 of 10)" in printed
    assert "Starting Worker plugin" not in printed
    assert "nanny" not in printed.lower()
