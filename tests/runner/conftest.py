from __future__ import annotations

import subprocess
import sys

import dask
import pytest
from distributed import Client, LocalCluster

from penstock.testing import Diary


@pytest.fixture
def diary(tmp_path):
    return Diary(tmp_path / "diary.jsonl")


@pytest.fixture
def script(tmp_path):
    """Runs Python text as a script; gives the process, which the end of the test ends."""
    started = []

    def start(text, *arguments):
        path = tmp_path / "script.py"
        path.write_text(text)
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Signals to its group, as a terminal sends them, do not reach the tests.
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def mortal():
    """A client of a cluster whose workers may be killed; their nannies start others.

    From a process that has imported Dask already, and however often: by default the cluster closes a nanny whose worker is
    missing 15 seconds after one of that name was lost, be it only because it was killed once more.
    """
    settings = {
        "distributed.worker.multiprocessing-method": "forkserver",
        "distributed.deploy.lost-worker-timeout": "1 hour",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            processes=True, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
