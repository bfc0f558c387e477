"""ParallelRunner: what only processes do. The contract is in test_parallel_contract.py."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from dask._task_spec import Alias, DataNode, Task, TaskRef

from penstock.errors import CannotSendError, NodeError, RunnerError
from penstock.io import DataCatalog, MemoryDataset
from penstock.pipeline import node, pipeline
from penstock.runner import ParallelRunner
from penstock.testing import add_one, fail

pytestmark = pytest.mark.pythons


MEMORY_FOLDER = Path("/dev/shm")


def is_running(pid):
    """Whether a process runs. One that has ended stays listed, as a zombie, until its parent asks for it."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def runner():
    return ParallelRunner(max_workers=2)


def folders_of(pid):
    """What a driver has left in shared memory."""
    return [path.name for path in MEMORY_FOLDER.glob("penstock-*") if path.name.split("-")[2] == str(pid)]


def process_of_a_node(runner):
    return runner.run(pipeline([node(os.getpid, None, "pid", name="who")]), DataCatalog())["pid"].load()


def test_nodes_run_in_processes_of_their_own_which_end_with_the_run(runner):
    pids = [process_of_a_node(runner) for _ in range(2)]

    assert len({*pids, os.getpid()}) == 3
    assert not any(map(is_running, pids))


def test_a_script_needs_no_main_guard(script):
    process = script(
        """
from penstock import DataCatalog, ParallelRunner, node
from penstock.pipeline import pipeline
offset = 5
class Level:
    def __init__(self, meters): self.meters = meters
nodes = pipeline([
    node(lambda a: Level(a + offset), "a", "level", name="read"),
    node(lambda level: level.meters, "level", "seen", name="show"),
])
print(ParallelRunner(2).run(nodes, DataCatalog({"a": 1}))["seen"].load())
"""
    )

    out, errors = process.communicate(timeout=60)

    assert (out, errors, process.returncode) == ("6\n", "", 0)


def test_a_killed_worker_is_an_error_that_names_the_task(runner):
    """The kernel kills the largest process when memory runs out; which node was it?"""
    nodes = pipeline([node(lambda: os.kill(os.getpid(), signal.SIGKILL), None, "b", name="greedy")])

    with pytest.raises(NodeError, match=r"greedy.*died"):
        runner.run(nodes, DataCatalog())

    assert process_of_a_node(runner)


def test_a_node_that_exits_does_not_take_the_driver_for_a_success(runner):
    with pytest.raises(SystemExit) as caught:
        runner.run(pipeline([node(sys.exit, "code", "b", name="leave")]), DataCatalog({"code": 3}))

    assert caught.value.code == 3


@pytest.mark.skipif(not MEMORY_FOLDER.is_dir(), reason="no shared memory in the file system")
@pytest.mark.parametrize("last", [add_one, fail])
def test_no_file_is_left_in_memory_after_a_run(runner, last):
    nodes = pipeline(
        [
            node(bytearray, "a", "block", name="make"),
            node(len, "block", "length", name="measure"),
            node(last, "length", "end", name="last"),
        ]
    )

    try:
        result = runner.run(nodes, DataCatalog({"a": 1_000_000}))
    except ValueError:
        result = None

    assert folders_of(os.getpid()) == []
    assert result is None or result["end"].load() == 1_000_001


@pytest.mark.skipif(not MEMORY_FOLDER.is_dir(), reason="no shared memory in the file system")
def test_ctrl_c_ends_the_run_its_workers_and_its_files(script, tmp_path):
    """What is left after Ctrl-C is left for ever."""
    process = script(
        f"""
import os, time
from pathlib import Path
from penstock import DataCatalog, ParallelRunner, node
from penstock.pipeline import pipeline
def slow(block):
    Path({str(tmp_path)!r}, "pid").write_text(str(os.getpid()))
    time.sleep(60)
    Path({str(tmp_path)!r}, "ended").touch()
nodes = pipeline([node(lambda: bytearray(1_000_000), None, "block", name="make"), node(slow, "block", "b", name="slow")])
try:
    ParallelRunner(2).run(nodes, DataCatalog())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    )
    pid_file = tmp_path / "pid"
    until = time.time() + 60
    while not (pid_file.exists() and pid_file.read_text()) and time.time() < until:
        time.sleep(0.05)
    worker = int(pid_file.read_text())
    before = folders_of(process.pid)

    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)

    assert len(before) == 1
    assert out == "interrupted\n", errors
    assert "Traceback" not in errors
    assert "1 of 2 nodes are done; begun: slow" in errors
    assert folders_of(process.pid) == []
    assert not Path(f"/proc/{worker}").exists()
    assert not (tmp_path / "ended").exists()


def test_ctrl_c_after_a_failure_ends_what_still_runs(script, tmp_path):
    """A run that has failed waits for its other nodes; who will not wait for them does not want what they save."""
    process = script(
        f"""
import contextlib, os, time
from pathlib import Path
import psutil
from penstock import DataCatalog, ParallelRunner, node
from penstock.pipeline import pipeline
folder = Path({str(tmp_path)!r})
def slow():
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)
def bad():
    while not (folder / "pid").exists():
        time.sleep(0.05)
    (folder / "failed").touch()
    raise ValueError
try:
    ParallelRunner(2).run(pipeline([node(slow, None, "a", name="slow"), node(bad, None, "b", name="bad")]), DataCatalog())
except KeyboardInterrupt:
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int((folder / "pid").read_text())).wait(20)
    print("interrupted", flush=True)
"""
    )
    until = time.time() + 60
    while not (tmp_path / "failed").exists() and time.time() < until:
        time.sleep(0.05)
    # Until the driver has heard of it.
    time.sleep(1.0)

    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)

    assert out == "interrupted\n", errors


def in_a_process(runner, function):
    """What a node of this function makes, and the process that it ran in."""
    nodes = pipeline([node(lambda: (function(), os.getpid()), None, "made", name="make")])
    return runner.run(nodes, DataCatalog())["made"].load()


def test_a_module_that_was_edited_and_reloaded_is_the_new_one_in_the_next_run(runner, tmp_path, monkeypatch):
    """In a notebook one edits, reloads and runs again."""
    file = tmp_path / "edited_for_penstock.py"
    monkeypatch.syspath_prepend(tmp_path)
    file.write_text("def make(): return 'old'\n")
    edited = importlib.import_module(file.stem)

    results = []
    for text in ("old", "newer"):
        file.write_text(f"def make(): return {text!r}\n")
        importlib.reload(edited)
        nodes = pipeline([node(edited.make, None, "made", name="make")])
        results.append(runner.run(nodes, DataCatalog())["made"].load())
    monkeypatch.delitem(sys.modules, file.stem)

    assert results == ["old", "newer"]


def test_a_run_has_the_environment_of_the_driver(monkeypatch):
    """What the driver has set or removed; and what workers have besides, unless the driver sets it."""
    names = ("RUN_SETTING", "RUN_REMOVED", "LOKY_MAX_MEMORY_LEAK_SIZE")
    monkeypatch.setenv("RUN_REMOVED", "before")
    runner = ParallelRunner(1)

    def see():
        return [os.environ.get(name) for name in names]

    first, _ = in_a_process(runner, see)
    monkeypatch.setenv("RUN_SETTING", "set")
    monkeypatch.delenv("RUN_REMOVED")
    monkeypatch.setenv("LOKY_MAX_MEMORY_LEAK_SIZE", "5")
    second, _ = in_a_process(runner, see)

    assert first == [None, "before", "1e18"]
    assert second == ["set", None, "5"]


def test_a_run_works_in_the_folder_of_the_driver(tmp_path, monkeypatch):
    """A dataset of a relative path has to be saved there."""
    monkeypatch.chdir(tmp_path)

    folder, _ = in_a_process(ParallelRunner(1), os.getcwd)

    assert Path(folder) == tmp_path


class WithFolders(ParallelRunner):
    """Its workers find modules in folders of their own, as in a Kedro project."""

    def worker_setup(self):
        return add_folders


def add_folders():
    sys.path.insert(0, "/workers/first")
    sys.path.append("/workers/last")


def test_a_run_finds_modules_where_the_driver_does(tmp_path, monkeypatch):
    """Also where the driver finds those of its working folder, which is another one for loky; and where the setup says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *filter(None, sys.path)])
    (tmp_path / "later_for_penstock.py").write_text("word = 'found'\n")

    def find():
        return importlib.import_module("later_for_penstock").word, sys.path

    (word, path), _ = in_a_process(WithFolders(1), find)

    assert word == "found"
    assert path == ["/workers/first", str(tmp_path), *sys.path[1:], "/workers/last"]


def test_large_data_is_not_taken_for_a_leak(runner):
    """The pool would warn, and start the worker anew, whenever a node holds more than 300 MB."""
    nodes = pipeline([node(lambda name: os.environ[name], "name", "limit", name="look")])

    result = runner.run(nodes, DataCatalog({"name": "LOKY_MAX_MEMORY_LEAK_SIZE"}))

    assert float(result["limit"].load()) > 1e15


def test_strings_hash_alike_in_all_workers(runner):
    """Two nodes that partition by hash have to agree."""
    nodes = pipeline([node(lambda a: (time.sleep(0.2), hash(a))[1], "a", name, name=name) for name in "xy"])

    result = runner.run(nodes, DataCatalog({"a": "turbine"}))

    assert result["x"].load() == result["y"].load()


def test_a_result_that_cannot_be_pickled_names_the_node(runner):
    nodes = pipeline([node(threading.Lock, None, "lock", name="make_lock")])

    with pytest.raises(CannotSendError, match=r"make_lock.*lock"):
        runner.run(nodes, DataCatalog())


def test_a_free_input_is_opened_apart_by_each_reader(runner):
    """Workers keep a large free input for the whole run: what one reader does to it, the next must not see."""

    def spoil(block, first):
        block[:1] = b"x"
        return bytes(block[:2])

    nodes = pipeline(
        [
            node(lambda block: spoil(block, 0), "block", "s0", name="s0"),
            *[node(spoil, ["block", f"s{k}"], f"s{k + 1}", name=f"s{k + 1}") for k in range(4)],
        ]
    )

    result = runner.run(nodes, DataCatalog({"block": MemoryDataset(bytearray(1_000_000))}))

    assert result["s4"].load() == b"x\0"


@pytest.mark.parametrize("workers", [0, -1])
def test_less_than_one_worker_is_refused(workers):
    with pytest.raises(RunnerError, match=str(workers)):
        ParallelRunner(max_workers=workers)


def test_its_repr_shows_its_arguments():
    assert repr(ParallelRunner(3)) == "penstock.runner.processes.ParallelRunner(max_workers=3)"
    assert repr(ParallelRunner(3, is_async=True)).endswith("(max_workers=3, is_async=True)")


def test_get_runs_any_dask_graph(runner):
    """`get` is public: the runner serves as a Dask scheduler, too."""
    graph = {
        "one": DataNode("one", 1),
        "two": Task("two", add_one, TaskRef("one")),
        "alias": Alias("alias", "two"),
        "three": Task("three", add_one, TaskRef("alias")),
    }

    assert list(runner.get(graph, ["three", "one"])) == [3, 1]
