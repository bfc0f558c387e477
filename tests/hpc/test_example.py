"""`examples/hpc`: its script on a cluster of this machine, and the jobs that its YAML describes."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import dask
import pytest
import yaml

from penstock import DaskRunner
from penstock.runner.cluster.workers.job_queue import import_class
from tests.guides import ROOT, texts

EXAMPLE = ROOT / "examples" / "hpc"

SECTIONS = [
    texts(EXAMPLE / "README.md", "yaml")[0],
    (EXAMPLE / "penstock.yaml").read_text(encoding="utf-8"),
]
each_section = pytest.mark.parametrize("text", SECTIONS, ids=["guide", "file"])


@pytest.mark.cluster
@pytest.mark.timeout(100)
def test_the_script_runs_where_the_configuration_of_dask_says(tmp_path):
    """Two workers of this machine instead of two jobs: the script knows of neither."""
    arguments = "{'n_workers': 2, 'threads_per_worker': 1, 'dashboard_address': '127.0.0.1:0'}"
    done = subprocess.run(
        [sys.executable, EXAMPLE / "run.py", "--darts", "2000"],
        cwd=tmp_path,
        env={**os.environ, "DASK_PENSTOCK__CLUSTER__ARGUMENTS": arguments},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"pi is about 3\.\d{4}\nthrown on [12] workers\n", done.stdout)
    assert "Completed node estimate (25 of 25)" in done.stderr
    assert (tmp_path / "pi.txt").read_text().startswith("3.")


@each_section
def test_the_section_has_the_keys_that_the_runner_reads(text):
    section = yaml.safe_load(text)["penstock"]

    with dask.config.set({"penstock": section}):
        runner = DaskRunner()

    assert repr(runner).startswith("penstock")
    assert set(section["cluster"]) <= {"class", "arguments", "scale", "adapt"}
    assert set(section) <= {"worker-timeout-seconds", "cluster"}


@pytest.mark.cluster
@each_section
def test_the_section_makes_jobs_of_slurm(text, tmp_path):
    """What `sbatch` would be given, without a Slurm."""
    if importlib.util.find_spec("dask_jobqueue") is None:
        pytest.skip("the example needs dask-jobqueue")
    described = yaml.safe_load(text)["penstock"]["cluster"]
    # As a run imports it: by itself, the module takes Ctrl-C away from the program that imports it.
    cls = import_class(described["class"])
    arguments = {**described["arguments"], "log_directory": str(tmp_path)}
    here = {"scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}

    with cls(**arguments, **here) as cluster:
        script = cluster.job_script()

    assert f"#SBATCH --cpus-per-task={arguments['cores']}" in script
    assert f"#SBATCH -t {arguments['walltime']}" in script
    assert ("#SBATCH -p short" in script) == ("queue" in arguments)
    assert ("--lifetime 50m" in script) == ("worker_extra_args" in arguments)
