"""A real Slurm on this machine, and schedulers started by hand."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dask
import pytest

SCRIPT = Path(__file__).with_name("slurm.sh")


def why_no_slurm():
    if not hasattr(os, "geteuid") or os.geteuid():
        return "Slurm's daemons need root"
    if not (shutil.which("slurmctld") or shutil.which("apt-get")):
        return "Slurm is not installed, and there is no apt-get to install it with"
    if importlib.util.find_spec("dask_jobqueue") is None:
        return 'dask-jobqueue is not installed: pip install "penstock[hpc]"'
    return None


@pytest.fixture(scope="session")
def slurm():
    """The folder of a Slurm with two nodes of two processors each."""
    reason = why_no_slurm()
    if reason is not None:
        pytest.skip(reason)
    # Not in a folder of pytest's, which others may not enter: munge refuses such a one.
    folder = Path(tempfile.mkdtemp(prefix="penstock-slurm-"))
    try:
        subprocess.run(["bash", SCRIPT, "up", folder], check=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield folder
    finally:
        subprocess.run(["bash", SCRIPT, "down", folder], check=True)
        shutil.rmtree(folder)


@pytest.fixture
def queue(slurm):
    """Gives the jobs in Slurm's queue, as lines of number, state and node. The queue is empty at first."""

    def jobs():
        format_ = ["--noheader", "--states=PENDING,RUNNING,CONFIGURING", "--format=%i %T %N"]
        done = subprocess.run(["squeue", *format_], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    subprocess.run(["scancel", "--user=root"], check=True)
    until(lambda: not jobs())
    return jobs


@pytest.fixture
def configured(slurm, tmp_path):
    """A context in which Dask's configuration describes a cluster of Slurm jobs."""

    def configure(*, scale=None, adapt=None, **arguments):
        given = {
            "cores": 1,
            "memory": "500MB",
            "processes": 1,
            "interface": "lo",
            "walltime": "00:10:00",
            "log_directory": str(tmp_path / "logs"),
            "local_directory": str(tmp_path),
            "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
            **arguments,
        }
        section = {
            "class": "dask_jobqueue.SLURMCluster",
            "arguments": given,
            "scale": scale,
            "adapt": adapt,
        }
        return dask.config.set({"penstock.cluster": section})

    return configure


@contextlib.contextmanager
def commands(folder):
    with contextlib.ExitStack() as stack:

        def start(*arguments, before=(), cwd=folder, **environment):
            command = [*before, sys.executable, "-m", "dask", *map(str, arguments)]
            log = stack.enter_context((folder / f"dask-{time.monotonic_ns()}.log").open("w"))
            process = subprocess.Popen(
                command, cwd=cwd, stdout=log, stderr=log, env={**os.environ, **environment}
            )
            stack.callback(process.wait, timeout=20)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def dask_command(tmp_path):
    """Starts `dask scheduler` and `dask worker` with what they are given, and ends them."""
    with commands(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def dask_commands(tmp_path_factory):
    """The same, for all tests of a module."""
    with commands(tmp_path_factory.mktemp("dask")) as start:
        yield start


def until(is_so, seconds=30):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never was so"
        time.sleep(0.1)
