"""A scheduler on another host, and a network that fails: packets get lost without an error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from penstock import JSONDataset
from tests.hpc.conftest import until

pytestmark = [pytest.mark.newest, pytest.mark.apart, pytest.mark.cluster]

# Others may test at the same time. The addresses are of the range for tests between networks (RFC 2544).
NAME, NEAR, FAR = (f"{name}{os.getpid()}" for name in ("penstock", "near", "far"))
HERE, THERE = (f"198.18.{os.getpid() % 256}.{number}" for number in (1, 2))
DRIVER = """
import sys, time
from pathlib import Path
import dask
from penstock import DaskRunner, JSONDataset, run
from penstock.pipeline import node, pipeline

folder, address = Path(sys.argv[1]), sys.argv[2]

def slow(x):
    (folder / "began").touch()
    time.sleep(60)
    return x

# Dask accepts no shorter time.
dask.config.set({"distributed.comm.timeouts": {"tcp": "11s", "connect": "3s"}})
nodes = [node(lambda x: x + 1, "x", "kept", name="first"), node(slow, "kept", "late", name="slow")]
try:
    run(pipeline(nodes), {"x": 1, "kept": JSONDataset(folder / "kept.json")}, DaskRunner(address))
finally:
    (folder / "ended").touch()
"""


def ip(*arguments, in_host=False, check=True):
    within = ["-n", NAME] if in_host else []
    return subprocess.run(["ip", *within, *arguments], capture_output=True, check=check)


@pytest.fixture
def host():
    """Begins a command on another host, of this machine's own: a network namespace."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("another host takes root, and iproute2")
    if ip("netns", "add", NAME, check=False).returncode:
        pytest.skip("this machine does not allow new networks")
    try:
        ip("link", "add", NEAR, "type", "veth", "peer", "name", FAR)
        ip("link", "set", FAR, "netns", NAME)
        ip("address", "add", f"{HERE}/30", "dev", NEAR)
        ip("link", "set", NEAR, "up")
        ip("address", "add", f"{THERE}/30", "dev", FAR, in_host=True)
        for link in ("lo", FAR):
            ip("link", "set", link, "up", in_host=True)
        yield ["ip", "netns", "exec", NAME]
    finally:
        # With it goes its other end.
        ip("link", "delete", NEAR, check=False)
        ip("netns", "delete", NAME)


def test_a_network_that_goes_ends_the_run_with_a_clear_error(host, dask_command, tmp_path):
    """In bounded time; what was saved stays saved, and the log says where to resume."""
    address, began, ended = f"tcp://{THERE}:8786", tmp_path / "began", tmp_path / "ended"
    dask_command("scheduler", f"--host={THERE}", "--port=8786", "--no-dashboard", before=host)
    dask_command("worker", address, "--no-nanny", "--no-dashboard", "--nthreads=1", before=host)
    # Dask leaves connections open that have failed: the driver is a process of its own.
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, tmp_path, address], stderr=subprocess.PIPE, text=True
    )

    until(lambda: began.exists() or driver.poll() is not None)
    ip("link", "set", FAR, "down", in_host=True)
    _, errors = driver.communicate(timeout=60)

    assert "penstock.errors.ClusterError: The connection to the scheduler is lost" in errors
    assert '--from-nodes "slow"' in errors
    assert ended.stat().st_mtime - began.stat().st_mtime < 30
    assert JSONDataset(tmp_path / "kept.json").load() == 2
