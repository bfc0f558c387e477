"""Files of shared memory go away: with their last reader, with the run, and after whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from penstock.errors import NodeError
from penstock.io import DataCatalog
from penstock.pipeline import node, pipeline
from penstock.runner import ParallelRunner

MEMORY_FOLDER = Path("/dev/shm")

pytestmark = pytest.mark.skipif(not MEMORY_FOLDER.is_dir(), reason="no shared memory in the file system")

LARGE = 1_000_000

PATIENCE_SECONDS = 60.0


@pytest.fixture
def runner():
    return ParallelRunner(max_workers=2)


def folders_of(pid):
    """The folders that a driver has in shared memory."""
    return [path for path in MEMORY_FOLDER.glob("penstock-*") if path.name.split("-")[2] == str(pid)]


def files_of(pid):
    """The files of values."""
    return [path for folder in folders_of(pid) for path in folder.iterdir()]


def make(*_):
    return bytearray(LARGE)


def wait_for(is_there):
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_there() and time.monotonic() < until:
        time.sleep(0.02)
    assert is_there()


def test_a_file_goes_with_its_last_reader(runner):
    """Memory is needed by the nodes that run, and not by those that have run."""
    driver = os.getpid()
    nodes = pipeline(
        [
            node(make, None, "block", name="make"),
            node(lambda block: len(files_of(driver)), "block", "while_read", name="read"),
            node(lambda block, _: len(files_of(driver)), ["block", "while_read"], "again", name="read_again"),
            node(lambda _: len(files_of(driver)), "again", "afterwards", name="look"),
            node(lambda *counts: counts, ["while_read", "again", "afterwards"], "counts", name="report"),
        ]
    )

    result = runner.run(nodes, DataCatalog())

    assert result["counts"].load() == (1, 1, 0)


def test_there_are_no_more_files_than_values_that_nodes_still_read(runner, tmp_path):
    """In a long chain, the value that is read; never all of them."""
    driver = os.getpid()

    def step(before):
        (tmp_path / f"{len(files_of(driver))} files").touch()
        return bytearray(before)

    steps = [
        node(step, f"block_{number}", f"block_{number + 1}", name=f"step_{number}") for number in range(8)
    ]
    nodes = [node(make, None, "block_0", name="make"), *steps, node(len, "block_8", "length", name="measure")]

    runner.run(pipeline(nodes), DataCatalog())

    assert [path.name for path in tmp_path.iterdir()] == ["1 files"]


def test_an_output_that_was_given_back_needs_no_file(runner):
    result = runner.run(pipeline([node(make, None, "block", name="make")]), DataCatalog())

    assert folders_of(os.getpid()) == []
    assert len(result["block"].load()) == LARGE


@pytest.mark.parametrize("when", ["while it calls", "while it writes"])
def test_a_killed_worker_leaves_no_file(runner, when):
    """The kernel ends the largest process when memory runs out, in the middle of whatever it does."""

    def die(block):
        delay = 0.0 if when == "while it calls" else 0.01
        threading.Timer(delay, os.kill, [os.getpid(), signal.SIGKILL]).start()
        if when == "while it calls":
            time.sleep(PATIENCE_SECONDS)
        return bytearray(100 * LARGE)

    nodes = pipeline(
        [
            node(make, None, "block", name="make"),
            node(die, "block", "never", name="die"),
            node(lambda never: time.sleep(PATIENCE_SECONDS), "never", None, name="wait"),
        ]
    )

    with pytest.raises(NodeError, match=r"die|wait"):
        runner.run(nodes, DataCatalog())

    assert folders_of(os.getpid()) == []


SCRIPT = """
import sys, time
from pathlib import Path
from penstock import DataCatalog, ParallelRunner, node
from penstock.pipeline import pipeline
folder = Path(sys.argv[1])
def wait(block):
    import os
    (folder / "pid").write_text(str(os.getpid()))
    while not (folder / "go on").exists():
        time.sleep(0.02)
    return len(block)
nodes = pipeline([node(lambda: bytearray(1_000_000), None, "block", name="make"), node(wait, "block", "length", name="wait")])
print(ParallelRunner(2).run(nodes, DataCatalog())["length"].load())
"""


@pytest.fixture
def another_driver(tmp_path):
    """A run of another process, whose worker holds a value and waits for the file `go on`; ended with the test."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid_file = tmp_path / "pid"
    wait_for(lambda: (pid_file.exists() and pid_file.read_text()) or process.poll() is not None)
    yield process
    (tmp_path / "go on").touch()
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture
def array():
    """Large data that is not copied when it is opened."""
    return pytest.importorskip("numpy", reason="large buffers are numpy's").zeros(LARGE, "uint8")


def mapped_by(pid):
    """Which files of runs a process holds mapped, be they removed or not: their memory is not free."""
    return [line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/penstock-" in line]


def test_a_free_input_does_not_outlive_the_run_in_the_workers(array):
    """An open runner keeps its workers; `/dev/shm` would be full of inputs after a few runs in a notebook."""
    nodes = pipeline([node(lambda block: (os.getpid(), len(block)), "block", "seen", name="see")])

    with ParallelRunner(1) as runner:
        pid, length = runner.run(nodes, DataCatalog({"block": array}))["seen"].load()

        assert length == LARGE
        assert Path(f"/proc/{pid}").exists()
        wait_for(lambda: not mapped_by(pid))


def test_a_free_input_is_let_go_by_the_next_run(array):
    """Runs that follow one another at once leave no time to tidy up in between."""

    def see(block):
        return len(mapped_by(os.getpid()))

    nodes = pipeline([node(see, "block", "mapped", name="see")])

    with ParallelRunner(1) as runner:
        counts = [runner.run(nodes, DataCatalog({"block": array}))["mapped"].load() for _ in range(4)]

    assert counts == [1] * 4


def run_something(runner):
    runner.run(pipeline([node(make, None, "block", name="make")]), DataCatalog())


def test_the_next_run_removes_what_a_killed_driver_left(runner, another_driver, tmp_path):
    """A process that is killed with `kill -9` does not clean up, and shared memory stays until the machine restarts."""
    worker = int((tmp_path / "pid").read_text())
    assert len(files_of(another_driver.pid)) == 1

    another_driver.send_signal(signal.SIGKILL)
    another_driver.wait(PATIENCE_SECONDS)
    left = folders_of(another_driver.pid)
    run_something(runner)

    assert len(left) == 1
    assert folders_of(another_driver.pid) == []
    (tmp_path / "go on").touch()
    wait_for(lambda: not Path(f"/proc/{worker}").exists())


def test_a_run_leaves_the_files_of_another_driver_alone(runner, another_driver, tmp_path):
    run_something(runner)

    left = files_of(another_driver.pid)
    (tmp_path / "go on").touch()
    out, errors = another_driver.communicate(timeout=PATIENCE_SECONDS)

    assert len(left) == 1
    assert (out, errors) == ("1000000\n", "")
    assert folders_of(another_driver.pid) == []
