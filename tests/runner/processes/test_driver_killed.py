"""A driver that is killed leaves nothing behind: no process that works on, no file in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import os, time
from penstock import DataCatalog, ParallelRunner, node
from penstock.pipeline import pipeline

def make(_):
    return bytearray(10_000_000)

def wait(data):
    print(os.getpid(), flush=True)
    time.sleep(100)

nodes = [node(make, "nothing", "data", name="make"), node(wait, "data", None, name="wait")]
ParallelRunner(2).run(pipeline(nodes), DataCatalog({"nothing": None}))
"""


def is_running(pid):
    """Whether a process runs. One that has ended stays listed, as a zombie, until its parent asks for it."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="values go through files in /dev/shm on Linux only")
def test_workers_end_and_shared_memory_is_freed_when_the_driver_is_killed():
    """A node that runs for hours would go on, and gigabytes would stay in memory until the next boot."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as driver:
        worker = int(driver.stdout.readline())
        folders = [path for path in Path("/dev/shm").glob("penstock-*") if f"-{driver.pid}-" in path.name]

        os.kill(driver.pid, signal.SIGKILL)

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (is_running(worker) or any(folder.exists() for folder in folders)):
        time.sleep(0.05)
    assert folders
    assert not is_running(worker)
    assert [folder for folder in folders if folder.exists()] == []
