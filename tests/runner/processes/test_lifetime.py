"""Open ParallelRunners: which processes live how long, whatever happens to them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.errors import NodeError, RunnerError
from penstock.graph.taskspec import new_task
from penstock.io import DataCatalog
from penstock.pipeline import node, pipeline
from penstock.runner import ParallelRunner, lifetime
from penstock.testing import fail

OPEN = """
import os, signal, sys, time
from penstock import DataCatalog, ParallelRunner, node
from penstock.errors import RunnerError
from penstock.pipeline import pipeline
who = pipeline([node(os.getpid, None, "pid", name="who")])
def worker(runner):
    return runner.run(who, DataCatalog())["pid"].load()
"""


def is_running(pid):
    """Whether a process runs. One that has ended stays listed, as a zombie, until its parent asks for it."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def eventually(claim, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if claim():
            return True
        time.sleep(0.02)
    return False


def made_by(runner, function, *inputs, name="make"):
    catalog = DataCatalog({f"input_{number}": value for number, value in enumerate(inputs)})
    nodes = pipeline([node(function, list(catalog.keys()), "made", name=name)])
    return runner.run(nodes, catalog)["made"].load()


def worker_of(runner):
    return made_by(runner, os.getpid)


def test_runs_in_a_block_share_processes_that_end_with_it():
    with ParallelRunner(1) as runner:
        pids = {worker_of(runner) for _ in range(3)}

    assert len(pids) == 1
    assert not is_running(*pids)


def test_an_open_runner_has_all_its_processes(tmp_path):
    """Whatever the first run needs: a later one may need more."""

    def meet(name, other):
        (tmp_path / name).touch()
        return eventually((tmp_path / other).exists)

    catalog = DataCatalog({"first": "first", "second": "second"})
    nodes = [
        node(meet, ["first", "second"], "met_second", name="first"),
        node(meet, ["second", "first"], "met_first", name="second"),
    ]
    with ParallelRunner(2) as runner:
        worker_of(runner)
        met = [dataset.load() for dataset in runner.run(pipeline(nodes), catalog).values()]

    assert met == [True, True]


def test_get_in_a_block_uses_its_processes():
    with ParallelRunner(1) as runner:
        pid = worker_of(runner)

        assert list(runner.get({"pid": new_task("pid", os.getpid)}, ["pid"])) == [pid]


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_processes_end_when_the_block_is_left_by_an_exception(error):
    pids = []

    def leave():
        with ParallelRunner(1) as runner:
            pids.append(worker_of(runner))
            raise error

    with pytest.raises(error):
        leave()

    assert not is_running(*pids)


def test_a_worker_killed_between_two_runs_is_replaced():
    with ParallelRunner(1) as runner:
        pid = worker_of(runner)
        os.kill(pid, signal.SIGKILL)
        # Until it has ended, and no longer: loky notices a little later, unless it was faster here.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        assert worker_of(runner) != pid


def test_a_worker_killed_in_a_run_ends_that_run_and_not_the_next():
    with ParallelRunner(1) as runner:
        with pytest.raises(NodeError, match=r"greedy.*died"):
            made_by(runner, lambda: os.kill(os.getpid(), signal.SIGKILL), name="greedy")

        assert worker_of(runner) != os.getpid()


def test_a_run_that_fails_leaves_the_processes_to_the_next():
    with ParallelRunner(1) as runner:
        pid = worker_of(runner)
        with pytest.raises(ValueError, match="turbines"):
            made_by(runner, fail, 1)

        assert worker_of(runner) == pid


def test_a_run_that_is_interrupted_ends_the_processes_and_the_next_starts_others(tmp_path):
    """In a notebook one interrupts a run and goes on with the runner that `open` has opened."""

    def slow():
        (tmp_path / "begun").touch()
        time.sleep(60)
        (tmp_path / "ended").touch()

    def interrupt():
        if eventually((tmp_path / "begun").exists):
            os.kill(os.getpid(), signal.SIGINT)

    with ParallelRunner(1) as runner:
        pid = worker_of(runner)
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            made_by(runner, slow)
        thread.join()

        assert not is_running(pid)
        assert worker_of(runner) != pid
    assert not (tmp_path / "ended").exists()


def test_runs_at_once_do_not_mix(caplog, capsys):
    """Each has its own results, events, logs and prints, although every worker goes from one to the other."""

    def work(name, number, before=0):
        logging.getLogger("work").warning("%s logs %d", name, number)
        print(f"{name} prints {number}")  # noqa: T201 - what is tested
        time.sleep(0.02)
        return before + number

    def run(name):
        nodes = [
            node(
                work,
                [f"name@{name}", f"{k}", f"sum_{k - 1}"] if k else [f"name@{name}", "0"],
                f"sum_{k}",
                name=f"{name}{k}",
            )
            for k in range(20)
        ]
        catalog = DataCatalog({f"name@{name}": name, **{f"{k}": k for k in range(20)}})
        start.wait()
        return runner.run(pipeline(nodes), catalog)

    start = threading.Barrier(3)
    with ParallelRunner(2) as runner, ThreadPoolExecutor(3) as pool:
        results = dict(zip("abc", pool.map(run, "abc"), strict=True))

    printed, logged = (
        capsys.readouterr().out.splitlines(),
        [r.getMessage() for r in caplog.records if r.name == "work"],
    )
    for name, result in results.items():
        assert result["sum_19"].load() == sum(range(20))
        assert [record.node for record in result.records] == [f"{name}{k}" for k in range(20)]
        assert [line for line in printed if line.startswith(name)] == [
            f"{name} prints {k}" for k in range(20)
        ]
        assert [line for line in logged if line.startswith(name)] == [
            f"{name}{k}: {name} logs {k}" for k in range(20)
        ]
    assert len({record.worker for result in results.values() for record in result.records}) <= 2


def test_runs_in_a_block_work_in_the_folder_that_the_driver_has_then(tmp_path, monkeypatch):
    """A dataset of a relative path would be saved where the driver was before."""
    with ParallelRunner(1) as runner:
        pid = worker_of(runner)
        monkeypatch.chdir(tmp_path)

        assert made_by(runner, lambda: (Path.cwd(), os.getpid())) == (tmp_path, pid)


def test_runs_in_a_block_have_the_environment_of_its_beginning(monkeypatch):
    """As with any pool; a run by itself has that of its own beginning."""

    def setting():
        return os.environ["BLOCK_SETTING"]

    monkeypatch.setenv("BLOCK_SETTING", "before")
    with ParallelRunner(1) as runner:
        monkeypatch.setenv("BLOCK_SETTING", "after")

        assert made_by(runner, setting) == "before"
    assert made_by(ParallelRunner(1), setting) == "after"


def test_workers_that_have_to_be_set_up_differently_are_replaced():
    """A Kedro project that was changed, or entered after the runner was opened."""

    class Project(ParallelRunner):
        setup = None

        def worker_setup(self):
            return self.setup

    with Project(1) as runner:
        pids = [worker_of(runner)]
        runner.setup = time.tzset
        pids += [worker_of(runner) for _ in range(2)]

    assert pids[0] != pids[1] == pids[2]
    assert not any(map(is_running, pids))


def test_closing_ends_a_run_of_another_thread(tmp_path):
    def slow():
        (tmp_path / "begun").touch()
        time.sleep(60)

    runner = ParallelRunner(1).open()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(made_by, runner, slow, name="slow")
        assert eventually((tmp_path / "begun").exists)
        runner.close()

        with pytest.raises(NodeError, match=r"slow failed: .* because the runner was closed"):
            run.result(30)


def test_several_runs_that_are_not_in_a_block_say_once_what_one_would_save(caplog, monkeypatch):
    monkeypatch.setattr(lifetime, "_starts", type(lifetime._starts)())
    caplog.set_level(logging.INFO)

    for _ in range(3):
        worker_of(ParallelRunner(1))

    (hint,) = [record.getMessage() for record in caplog.records if "as runner" in record.getMessage()]
    assert "s for processes of its own" in hint
    assert "`with ParallelRunner(...) as runner:`" in hint


def test_ctrl_c_in_a_block_ends_its_processes(script):
    """A terminal sends the signal to the workers as well."""
    process = script(
        f"""{OPEN}
try:
    with ParallelRunner(1) as runner:
        print(worker(runner), flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    )
    worker = int(process.stdout.readline())

    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=30)

    assert (out, errors) == ("interrupted\n", "")
    assert not is_running(worker)


def test_a_program_that_ends_with_an_open_runner_ends_its_processes(script):
    process = script(f"{OPEN}print(worker(ParallelRunner(2).open()))")

    out, errors = process.communicate(timeout=30)

    assert (errors, process.returncode) == ("", 0)
    assert not is_running(int(out))


def test_the_processes_of_an_open_runner_end_when_the_driver_is_killed():
    program = f"{OPEN}print(worker(ParallelRunner(2).open()), flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as driver:
        worker = int(driver.stdout.readline())

        driver.kill()

    assert eventually(lambda: not is_running(worker))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("exit_", ["sys.exit()", "os._exit(0)"])
def test_a_fork_neither_uses_nor_ends_the_processes_of_its_parent(script, exit_):
    """Web servers and task queues fork after the application is loaded."""
    process = script(
        f"""{OPEN}
import warnings
warnings.simplefilter("ignore")
with ParallelRunner(1) as runner:
    pid = worker(runner)
    child = os.fork()
    if not child:
        try:
            worker(runner)
        except RunnerError as error:
            print(error)
        print(repr(runner)[:-3])
        runner.close()
        with runner:
            print(worker(runner) not in (pid, os.getpid()), flush=True)
        {exit_}
    status = os.waitpid(child, 0)[1]
    print(status, worker(runner) == pid, flush=True)
"""
    )

    out, errors = process.communicate(timeout=60)

    error, shown, *rest = out.splitlines()
    assert "was opened in process" in error, errors
    assert "Make a runner in the fork" in error
    assert "open in process" in shown
    assert rest == ["True", "0 True"], errors


def test_a_closed_runner_starts_no_process():
    runner = ParallelRunner(1).open()
    runner.close()

    with pytest.raises(RunnerError, match="closed"):
        runner.get({}, [])
