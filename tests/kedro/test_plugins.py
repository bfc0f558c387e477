"""Plugins of Kedro that projects use, with each of our runners; each is skipped where its package is not installed."""

from __future__ import annotations

import json

import pytest

from tests.kedro.conftest import TAKES_RUNNER_PARAMS

LOOK = """
import json
import mlflow

mlflow.set_tracking_uri("sqlite:///mlflow.db")
client = mlflow.MlflowClient()
found = [
    {
        "status": run.info.status,
        "params": sorted(run.data.params),
        "metrics": run.data.metrics,
        "artifacts": [file.path for file in client.list_artifacts(run.info.run_id)],
    }
    for experiment in client.search_experiments()
    for run in client.search_runs([experiment.experiment_id])
]
print("FOUND", json.dumps(found))
"""

STORE = """
server:
  mlflow_tracking_uri: sqlite:///mlflow.db
"""

TRACKED = """
metres:
  type: kedro_mlflow.io.metrics.MlflowMetricDataset

end:
  type: kedro_mlflow.io.artifacts.MlflowArtifactDataset
  dataset:
    type: json.JSONDataset
    filepath: data/end.json
"""

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(not TAKES_RUNNER_PARAMS, reason="Kedro has --runner-params from 1.6 on"),
]

MEASURED = """
from door.pipelines import rain
from kedro.pipeline import node, pipeline


def register_pipelines():
    metres = node(lambda checked: checked / 100, "checked", "metres", name="metres")
    return {"__default__": rain.create_pipeline() + pipeline([metres])}
"""


@pytest.fixture
def tracked(project):
    """The project with a store of mlflow in a file."""
    pytest.importorskip("kedro_mlflow", reason="kedro-mlflow is not installed: pip install --group plugins")
    catalog = project.read("conf/base/catalog.yml")
    project.write("conf/base/catalog.yml", catalog[: catalog.index("\nend:")] + TRACKED)
    project.write("conf/local/mlflow.yml", STORE)
    project.write("src/door/pipeline_registry.py", MEASURED)
    return project


def runs(project):
    (line,) = (line for line in project.python("-c", LOOK).splitlines() if line.startswith("FOUND"))
    return json.loads(line.removeprefix("FOUND "))


PARAMETERS = {
    "SequentialRunner": "progress=False",
    "ThreadRunner": "max_workers=2",
    "ParallelRunner": "max_workers=2",
    "DaskRunner": "n_workers=2,threads_per_worker=1",
}

every_runner = pytest.mark.parametrize(
    "runner",
    [
        "SequentialRunner",
        "ThreadRunner",
        "ParallelRunner",
        pytest.param("DaskRunner", marks=pytest.mark.cluster),
    ],
)


@every_runner
def test_mlflow_gets_parameters_metrics_and_artifacts_in_one_run(tracked, runner):
    """Wherever a node runs: its outputs are saved in that thread, where the plugin has opened the run of the driver."""
    tracked.run(runner, f"--runner-params={PARAMETERS[runner]}")

    (run,) = runs(tracked)
    assert run["status"] == "FINISHED"
    assert run["params"] == ["parameters", "site.offset"]
    assert run["metrics"] == {"metres": 0.3}
    assert run["artifacts"] == ["end.json"]


def test_mlflow_sees_that_a_run_has_failed(tracked):
    tracked.write("conf/base/parameters.yml", "{scale: 2, site: {offset: 0}, most: 29}")

    tracked.run("ParallelRunner", fails=True)

    (run,) = runs(tracked)
    assert run["status"] == "FAILED"


NOTEBOOK = """%load_ext kedro.ipython
import penstock.kedro
runner = penstock.kedro.{runner}({parameters})
print("GOT", session.run(runner=runner)["end"].load())
"""


@every_runner
def test_a_notebook_runs_the_project_with_its_session(project, runner):
    """IPython runs the lines as cells; `session`, `catalog` and `pipelines` are Kedro's."""
    pytest.importorskip("IPython", reason="IPython is not installed: pip install --group plugins")
    project.write(
        "conf/local/mlflow.yml", STORE
    )  # where kedro-mlflow is installed: mlflow refuses its default
    cell = NOTEBOOK.format(runner=runner, parameters=PARAMETERS[runner])

    printed = project.python("-m", "IPython", "--colors=NoColor", "-c", cell)

    assert "GOT {'checked': 30}" in printed
