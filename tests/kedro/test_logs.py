"""What nodes log on workers, shown by the project's own logging in the driver."""

from __future__ import annotations

import re

import pytest

from tests.kedro.conftest import TAKES_RUNNER_PARAMS


@pytest.mark.parametrize(
    "runner", ["SequentialRunner", "ParallelRunner", pytest.param("DaskRunner", marks=pytest.mark.cluster)]
)
def test_what_kedro_logs_of_each_node_is_shown_once_with_its_name(project, request, runner):
    """Workers have the project's logging as well, and would show it on the same terminal."""
    if runner == "DaskRunner":
        printed = request.getfixturevalue("cluster").run(project)
    else:
        printed = project.run(runner)

    assert sorted(re.findall(r"INFO +(\S+): Loading data from \W*([\w.]+)", printed)) == [
        ("north.measure", "rain"),
        ("north.total", "north.measured"),
        ("south.measure", "rain"),
        ("south.total", "south.measured"),
    ]
    assert printed.count("Loading data from") == 4
    completed = [printed.index(f"Completed node {name} ") for name in ("north.measure", "south.measure")]
    saved = [printed.index(f"{name}: Saving data") for name in ("north.measure", "south.measure")]
    assert all(before < after for before, after in zip(saved, completed, strict=True))


def test_which_logging_configuration_kedro_uses_is_said_once_and_not_by_workers(project):
    assert project.run("ParallelRunner").count("as logging configuration") == 1


@pytest.mark.cluster
@pytest.mark.skipif(not TAKES_RUNNER_PARAMS, reason="Kedro has --runner-params from 1.6 on")
def test_nor_by_those_of_a_cluster(project):
    printed = project.run("DaskRunner", "--runner-params=n_workers=2")

    assert printed.count("as logging configuration") == 1
