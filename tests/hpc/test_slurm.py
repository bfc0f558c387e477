"""DaskRunner on a real Slurm: two nodes of two processors each, on this machine."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import dask
import pytest
from distributed import Client

from penstock import DaskRunner, DataCatalog, TextDataset
from penstock.errors import NodeError, NoWorkersError, RunnerError
from penstock.pipeline import node, pipeline
from penstock.runner.cluster.workers.job_queue import with_replaceable_jobs
from tests.hpc.conftest import until

pytestmark = pytest.mark.slurm


def place(_):
    return os.environ["SLURMD_NODENAME"]


def meet(folder):
    """A node that waits for another one on the other machine, and gives the machine and the command of its worker."""

    def work(_):
        (folder / os.environ["SLURMD_NODENAME"]).touch()
        end = time.monotonic() + 60
        while len(list(folder.glob("node*"))) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        command = (Path("/proc") / str(os.getppid()) / "cmdline").read_text()
        return os.environ["SLURMD_NODENAME"], command.replace("\0", " ")

    return work


def many(function, count):
    """As many nodes, none of which depends on another."""
    return pipeline([node(function, "x", f"y{index}", name=f"n{index}") for index in range(count)])


def values(result):
    return [dataset.load() for dataset in result.values()]


def run(pipe, runner=None, **datasets):
    return (runner or DaskRunner(worker_timeout_seconds=60)).run(pipe, DataCatalog({"x": 1, **datasets}))


def cancel(job):
    subprocess.run(["scancel", job.split()[0]], check=True)


@pytest.fixture
def in_the_middle(queue, tmp_path):
    """Calls a function with the queue's lines as soon as a file says that a node runs."""
    threads = []

    def call(function):
        def wait():
            until((tmp_path / "running").exists, 60)
            function(queue())

        threads.append(threading.Thread(target=wait))
        threads[0].start()

    yield call
    for thread in threads:
        thread.join()


def slow(path):
    """A node that notes each of its calls, and takes its time in the first."""

    def work(x):
        with (path / "calls").open("a") as calls:
            calls.write("called\n")
        (path / "running").touch()
        is_first = (path / "calls").read_text().count("called") == 1
        time.sleep(60 if is_first else 0)
        return x

    return work


class TestRuns:
    def test_a_run_on_two_nodes(self, configured, queue, tmp_path, caplog):
        """From the configuration alone, as a Kedro command line or a batch job does. Workers with a lifetime retire at
        different times: all at once, no worker would be left to take their data."""
        caplog.set_level(logging.INFO, "penstock")

        with configured(scale=2, worker_extra_args=["--lifetime", "300s"]):
            result = run(many(meet(tmp_path), 4))

        machines, commands = zip(*values(result), strict=True)
        assert set(machines) == {"node1", "node2"}
        until(lambda: not queue(), 5)
        assert re.search(r"Still waiting for one of 2 workers \(\d+ s so far, at most 60 s\)", caplog.text)
        lifetimes = {
            re.search(r"--lifetime (\S+) --lifetime-stagger (\S+)", each).groups() for each in commands
        }
        assert lifetimes == {("270s", "30s")}

    def test_a_cluster_that_adapts(self, configured, queue):
        """It starts no job before there is something to do, so waiting for a worker alone would be for ever."""
        with configured(adapt={"minimum-jobs": 0, "maximum-jobs": 2}):
            result = run(many(place, 4))

        assert set(values(result)) <= {"node1", "node2"}
        until(lambda: not queue(), 5)

    def test_a_run_in_a_thread(self, configured, queue):
        """`dask_jobqueue` sets a handler for Ctrl-C when it is imported, which a thread must not do; a new process shows it."""
        script = textwrap.dedent(
            """
            import signal, threading
            from penstock import DaskRunner, DataCatalog
            from penstock.pipeline import node, pipeline

            def main():
                pipe = pipeline([node(lambda x: x + 1, "x", "y", name="add")])
                print("y is", DaskRunner(worker_timeout_seconds=60).run(pipe, DataCatalog({"x": 1}))["y"].load())

            thread = threading.Thread(target=main)
            thread.start()
            thread.join()
            print(signal.getsignal(signal.SIGINT).__name__)
            """
        )
        with configured(scale=1):
            output = in_a_process(script).communicate(timeout=60)[0]

        assert output.splitlines() == ["y is 2", "default_int_handler"]

    def test_a_client_of_a_cluster_that_the_user_made_is_left_open(self, slurm, queue, tmp_path):
        jobs = pytest.importorskip("dask_jobqueue")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        options = {"dashboard_address": "127.0.0.1:0"}
        fixed = {"cores": 1, "memory": "500MB", "interface": "lo", "local_directory": str(tmp_path)}
        with jobs.SLURMCluster(**fixed, log_directory=str(tmp_path), scheduler_options=options) as cluster:
            cluster.scale(1)
            with Client(cluster, set_as_default=False) as client:
                assert values(run(many(place, 1), DaskRunner(client))) == ["node1"]
                assert len(queue()) == 1


class TestJobsThatEnd:
    def test_a_job_that_is_cancelled_is_replaced(self, configured, in_the_middle, tmp_path, caplog):
        """Dask still counts such a job, and submits no other unless the cluster adapts. What was saved is not
        made again."""

        def first(x):
            with (tmp_path / "first").open("a") as calls:
                calls.write("called\n")
            return "text"

        in_the_middle(lambda jobs: cancel(jobs[0]))
        pipe = pipeline([node(first, "x", "text", name="first"), node(slow(tmp_path), "text", "y")])

        with configured(scale=1):
            result = run(pipe, text=TextDataset(tmp_path / "text.txt"))

        assert result["y"].load() == "text"
        assert (tmp_path / "first").read_text() == "called\n"
        assert re.search(r"Jobs ended: job \d+: CANCELLED.*Submitting as many new jobs", caplog.text)

    def test_a_job_whose_walltime_is_over_is_replaced(self, configured, in_the_middle, tmp_path, caplog):
        """Slurm counts in minutes; only a changed end of a job can be given in seconds."""

        def end(jobs):
            subprocess.run(
                ["scontrol", "update", f"JobId={jobs[0].split()[0]}", "EndTime=now+1seconds"], check=True
            )

        in_the_middle(end)

        with configured(scale=1):
            result = run(pipeline([node(slow(tmp_path), "x", "y")]))

        assert result["y"].load() == 1
        assert re.search(r"Jobs ended: job \d+: TIMEOUT \(TimeLimit\)", caplog.text)

    def test_a_job_that_is_cancelled_is_replaced_by_a_cluster_that_adapts(
        self, configured, in_the_middle, tmp_path
    ):
        in_the_middle(lambda jobs: cancel(jobs[0]))

        with configured(adapt={"minimum": 1, "maximum": 1}):
            result = run(pipeline([node(slow(tmp_path), "x", "y")]))

        assert result["y"].load() == 1

    def test_a_job_whose_memory_is_too_small_is_reported(self, configured, queue, tmp_path):
        """Slurm kills the job; what comes in its place is killed as well, so the node is what is to blame."""

        def greedy(_):
            hoard = bytearray(700_000_000)
            time.sleep(20)
            return len(hoard)

        allow = dask.config.set({"distributed.scheduler.allowed-failures": 0})
        with configured(scale=1), allow, pytest.raises(NodeError) as raised:
            run(pipeline([node(greedy, "x", "y", name="greedy")]))

        assert "node 'greedy' (inputs: x) failed: it may have killed its workers" in str(raised.value)

    def test_a_cluster_of_the_user_is_reported_and_not_changed(self, slurm, in_the_middle, tmp_path):
        """Without `adapt` its job is not replaced; Dask alone waits for ever."""
        jobs = pytest.importorskip("dask_jobqueue")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        in_the_middle(lambda jobs: cancel(jobs[0]))
        options = {"dashboard_address": "127.0.0.1:0"}
        fixed = {"cores": 1, "memory": "500MB", "interface": "lo", "local_directory": str(tmp_path)}
        with jobs.SLURMCluster(**fixed, log_directory=str(tmp_path), scheduler_options=options) as cluster:
            cluster.scale(1)

            with pytest.raises(NoWorkersError) as raised:
                run(pipeline([node(slow(tmp_path), "x", "y")]), DaskRunner(cluster))

        text = str(raised.value)
        assert "All jobs of the cluster have ended, and it replaces none, since it does not adapt" in text
        assert re.search(r"job \d+: CANCELLED; the end of its log .*\.err:\n", text)
        assert "CANCELLED AT" in text


class TestJobsThatNeverStart:
    def test_a_partition_that_does_not_exist(self, configured):
        """`sbatch` refuses, `dask_jobqueue` logs it, and `get` would wait for ever; then the cluster could not be closed."""
        began = time.monotonic()

        with configured(scale=2, queue="nowhere"), pytest.raises(NoWorkersError) as raised:
            run(many(place, 1))

        assert time.monotonic() - began < 20
        assert (
            "2 times: a job that the queue did not take (sbatch: error: invalid partition specified: nowhere; "
            "sbatch: error: Batch job submission failed: Invalid partition name specified)"
        ) in str(raised.value)

    def test_a_cluster_closes_although_a_refused_job_is_still_referred_to(self, slurm, tmp_path):
        """Dask asserts that each job is closed, and `dask_jobqueue` does not say so: an error's traceback is enough to hold one."""
        jobs = pytest.importorskip("dask_jobqueue")
        options = {"dashboard_address": "127.0.0.1:0"}
        fixed = {"cores": 1, "memory": "500MB", "interface": "lo", "local_directory": str(tmp_path)}
        cluster = with_replaceable_jobs(jobs.SLURMCluster)(
            **fixed, queue="nowhere", scheduler_options=options
        )
        cluster.scale(1)
        until(lambda: any(job.failure for job in cluster.workers.values()), 20)
        held = list(cluster.workers.values())

        cluster.close()

        assert "invalid partition" in held[0].failure

    def test_a_job_that_waits_for_ever(self, configured, queue):
        with configured(scale=1, queue="closed"), pytest.raises(NoWorkersError) as raised:
            run(many(place, 1), DaskRunner(worker_timeout_seconds=4))

        assert re.search(
            r"Waited 4 s for a worker; worker_timeout_seconds sets how long\n  job \d+: PENDING \(PartitionDown\)",
            str(raised.value),
        )
        until(lambda: not queue(), 5)

    def test_a_job_that_fails_at_once_shows_its_log(self, configured):
        with configured(scale=1, python="/nowhere/python"), pytest.raises(NoWorkersError) as raised:
            run(many(place, 1))

        text = str(raised.value)
        assert "All jobs ended without starting a worker" in text
        assert re.search(
            r"job \d+: FAILED \(NonZeroExitCode\); the end of its log .*\.err:\n    .*/nowhere/python", text
        )

    def test_a_cluster_that_asks_for_no_job_is_refused(self, configured):
        with (
            configured(),
            pytest.raises(RunnerError, match=r"asks for no job: dask_jobqueue.SLURMCluster starts without"),
        ):
            run(many(place, 1))


def in_a_process(script):
    """A new Python with the configuration of this one, in a group of its own."""
    environment = {**os.environ, "DASK_INTERNAL_INHERIT_CONFIG": dask.config.serialize(dask.config.config)}
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


class TestCtrlC:
    SCRIPT = """
import sys
{before}
from pathlib import Path
from penstock import DaskRunner, DataCatalog
from penstock.pipeline import node, pipeline

def work(x):
    import time
    Path({running!r}).touch()
    time.sleep(60)

try:
    DaskRunner(worker_timeout_seconds=60).run(pipeline([node(work, "x", "y")]), DataCatalog({{"x": 1}}))
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(3)
"""

    @pytest.mark.parametrize("before", ["", "import dask_jobqueue"])
    def test_ctrl_c_leaves_no_job(self, configured, queue, tmp_path, before):
        """Also where a script has imported `dask_jobqueue`, whose handler ends the process as if all were well."""
        running = tmp_path / "running"
        with configured(scale=2):
            process = in_a_process(self.SCRIPT.format(running=str(running), before=before))
        until(running.exists, 60)

        os.killpg(process.pid, signal.SIGINT)

        assert process.communicate(timeout=30)[0] == "interrupted\n"
        assert process.returncode == 3
        until(lambda: not queue(), 5)

    def test_ctrl_c_while_waiting_leaves_no_job(self, configured, queue, tmp_path):
        with configured(scale=2, queue="closed"):
            process = in_a_process(self.SCRIPT.format(running="", before=""))
        until(lambda: len(queue()) == 2, 60)

        os.killpg(process.pid, signal.SIGINT)

        assert process.communicate(timeout=30)[0] == "interrupted\n"
        until(lambda: not queue(), 5)
