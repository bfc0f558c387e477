"""DaskRunner on a queue that is not asked about its jobs: `dask_jobqueue.local`, whose jobs are processes of this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import dask
import pytest

pytestmark = [
    pytest.mark.newest,
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.skipif(
        importlib.util.find_spec("dask_jobqueue") is None,
        reason='dask-jobqueue is not installed: pip install "penstock[hpc]"',
    ),
]

SCRIPT = """
import logging, os, sys
from pathlib import Path
from penstock import DaskRunner, DataCatalog
from penstock.pipeline import node, pipeline

logging.basicConfig(stream=sys.stdout, level=logging.WARNING)
folder = Path(sys.argv[1])

def dies_once(x):
    if not list(folder.glob("job-*.log")):
        (folder / f"job-{os.getpid()}.log").write_text("killed, out of memory")
        os._exit(1)
    return x

runner = DaskRunner(worker_timeout_seconds=float(sys.argv[2]))
print("y is", runner.run(pipeline([node(dies_once, "x", "y")]), DataCatalog({"x": 1}))["y"].load())
"""


def output_of_run(folder, seconds, lost_worker_timeout):
    """The output of a run whose first job dies. It has a process of its own, since `dask_jobqueue` leaves zombies."""
    arguments = {
        "cores": 1,
        "memory": "500MB",
        "processes": 1,
        # The worker is the job's process; without a nanny it is not started again.
        "nanny": False,
        "interface": "lo",
        "local_directory": str(folder),
        "log_directory": str(folder),
        "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
    }
    section = {"class": "dask_jobqueue.local.LocalCluster", "arguments": arguments, "scale": 1}
    settings = {
        "penstock.cluster": section,
        "distributed.deploy.lost-worker-timeout": lost_worker_timeout,
    }
    with dask.config.set(settings):
        inherited = dask.config.serialize(dask.config.config)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(seconds)],
        env={**os.environ, "DASK_INTERNAL_INHERIT_CONFIG": inherited},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    return done.stdout + done.stderr


SLOW_QUEUE = """
import asyncio, sys
import dask_jobqueue.local as queue
from distributed import Client
from penstock import DaskRunner, DataCatalog
from penstock.pipeline import node, pipeline

class Job(queue.LocalJob):
    async def start(self):
        await asyncio.sleep(4)
        await super().start()

class Cluster(queue.LocalCluster):
    job_cls = Job

folder = sys.argv[1]
fixed = {"cores": 1, "memory": "500MB", "processes": 1, "interface": "lo", "local_directory": folder, "log_directory": folder}
options = {"dashboard_address": "127.0.0.1:0"}
with Cluster(**fixed, scheduler_options=options) as cluster, Client(cluster) as client:
    cluster.scale(1)
    result = DaskRunner(client, worker_timeout_seconds=60).run(pipeline([node(abs, "x", "y")]), DataCatalog({"x": -1}))
    print("y is", result["y"].load())
"""


def test_jobs_that_are_still_on_their_way_to_the_queue_are_waited_for(tmp_path):
    """A cluster lists its jobs when all are submitted, and the runner submits none on a cluster that it does not own."""
    done = subprocess.run(
        [sys.executable, "-c", SLOW_QUEUE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )

    assert "y is 1" in done.stdout, done.stderr


def test_a_job_that_is_gone_is_replaced(tmp_path):
    """Dask forgets it, but not that it is to be there: no other would be asked for, and the run would wait for an hour."""
    text = output_of_run(tmp_path, 60, "1s")

    assert re.search(r"Jobs ended: job \d+: GONE\. Submitting as many new jobs", text), text
    assert "y is 1" in text


def test_the_log_of_a_job_is_shown_if_its_state_is_not_known(tmp_path):
    text = output_of_run(tmp_path, 2, "1 hour")

    assert re.search(
        r"Waited 2 s for a worker; .*\n  job (\d+); the end of its log .*/job-\1\.log:\n    killed, out of memory",
        text,
    ), text
