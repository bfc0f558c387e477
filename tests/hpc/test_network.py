"""A scheduler on another host, and a network between that goes: packets get lost, and nobody says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time

import dask
import pytest

from penstock import DaskRunner, DataCatalog, JSONDataset
from penstock.errors import ClusterError
from penstock.pipeline import node, pipeline
from tests.hpc.conftest import until

pytestmark = pytest.mark.cluster

# Of the range for tests between networks (RFC 2544).
HERE, THERE = "198.18.41.1", "198.18.41.2"
NAME, NEAR, FAR = "penstock-test", "penstock-near", "penstock-far"
TIMEOUTS = {
    # Dask takes no less.
    "distributed.comm.timeouts.tcp": "11s",
    "distributed.comm.timeouts.connect": "3s",
    "distributed.comm.retry.count": 0,
}


def ip(*arguments, in_host=False, check=True):
    within = ["-n", NAME] if in_host else []
    return subprocess.run(["ip", *within, *arguments], capture_output=True, check=check)


@pytest.fixture
def host():
    """Begins a command on another host, of this machine's own: a network namespace."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("another host takes root, and iproute2")
    if ip("netns", "add", NAME, check=False).returncode:
        pytest.skip("nobody may make networks here")
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
        # With it goes the link.
        ip("netns", "delete", NAME)


def test_a_network_that_goes_ends_the_run_with_a_clear_error(host, dask_command, tmp_path, caplog):
    """In bounded time; what was saved stays saved, and the log says where to resume."""

    def slow(x):
        (tmp_path / "began").touch()
        time.sleep(60)
        return x

    def cut():
        until((tmp_path / "began").exists)
        ip("link", "set", FAR, "down", in_host=True)

    address = f"tcp://{THERE}:8786"
    dask_command("scheduler", f"--host={THERE}", "--port=8786", "--no-dashboard", before=host)
    dask_command("worker", address, "--no-nanny", "--no-dashboard", "--nthreads=1", before=host)
    nodes = pipeline(
        [node(lambda x: x + 1, "x", "kept", name="first"), node(slow, "kept", "late", name="slow")]
    )
    kept = JSONDataset(tmp_path / "kept.json")
    cutter = threading.Thread(target=cut)
    cutter.start()

    with (
        dask.config.set(TIMEOUTS),
        pytest.raises(ClusterError, match="The connection to the scheduler is lost"),
    ):
        DaskRunner(address, worker_timeout_seconds=30).run(nodes, DataCatalog({"x": 1, "kept": kept}))

    cutter.join()
    assert time.time() - (tmp_path / "began").stat().st_mtime < 30
    assert kept.load() == 2
    assert '--from-nodes "slow"' in caplog.text
