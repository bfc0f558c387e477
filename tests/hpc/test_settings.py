"""The section `penstock` of Dask's configuration, and the clusters that it describes on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import dask
import psutil
import pytest

from penstock import DaskRunner, DataCatalog
from penstock.errors import RunnerError
from penstock.pipeline import node, pipeline
from penstock.runner.cluster.connection.settings import cluster_settings, worker_timeout
from penstock.runner.cluster.workers.job_queue import keeping_signal_handlers

LOOPBACK = {"127.0.0.1", "::1"}


def cluster(**section):
    return dask.config.set({"penstock.cluster": section})


def run(runner, func):
    return runner.run(pipeline([node(func, "x", "y")]), DataCatalog({"x": 1}))["y"].load()


def listening(pid):
    """Where a process and all that it started listen: address, port and the process's command."""
    found, driver = set(), psutil.Process(pid)
    for process in (driver, *driver.children(recursive=True)):
        # One that has just ended listens nowhere.
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {
                (*each.laddr, " ".join(process.cmdline()))
                for each in process.net_connections("tcp")
                if each.status == psutil.CONN_LISTEN
            }
    return found


def test_nothing_is_configured_to_begin_with():
    assert cluster_settings() is None
    assert worker_timeout(None) == 3600


def test_a_cluster_is_described_by_its_class_and_arguments():
    arguments = {
        "n-workers": 1,
        "threads_per_worker": 1,
        "processes": False,
        "dashboard-address": "127.0.0.1:0",
    }
    with cluster(**{"class": "distributed.LocalCluster", "arguments": arguments}):
        assert run(DaskRunner(), lambda x: x + 1) == 2


def test_a_local_cluster_takes_arguments_from_the_configuration():
    with cluster(arguments={"n_workers": 1, "processes": False, "dashboard_address": 0}):
        assert run(DaskRunner(), lambda x: x + 1) == 2


def test_variables_are_as_good_as_a_file():
    """A batch script sets them."""
    script = "from penstock.runner.cluster.connection.settings import cluster_settings, worker_timeout; print(cluster_settings(), worker_timeout(None))"
    variables = {
        "DASK_PENSTOCK__CLUSTER__CLASS": "dask_jobqueue.SLURMCluster",
        "DASK_PENSTOCK__CLUSTER__ADAPT": "{'maximum-jobs': 4}",
        "DASK_PENSTOCK__WORKER_TIMEOUT_SECONDS": "60",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == (
        "ClusterSettings(cls='dask_jobqueue.SLURMCluster', scale={}, adapt={'maximum_jobs': 4}) 60.0\n"
    )


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"adpat": {}},
            "Unexpected keys for penstock.cluster in Dask's configuration: adpat; it takes class, ",
        ),
        ({"scale": 2, "adapt": {}}, "has both scale and adapt"),
        (
            {"class": "SLURMCluster"},
            "penstock.cluster.class in Dask's configuration is 'SLURMCluster'; give an import path",
        ),
        (
            {"arguments": [1], "scale": 1},
            r"penstock.cluster.arguments in Dask's configuration is \[1\]; give arguments by name",
        ),
        ({"class": "distributed.NoCluster"}, "is distributed.NoCluster, which cannot be imported"),
        ({"class": "dask_jobqueue.NoCluster"}, r"cannot be imported .*: pip install dask-jobqueue"),
        ({"class": "builtins.dict"}, "is builtins.dict, which returns a dict instead of a cluster"),
        (
            {"class": "concurrent.futures.ThreadPoolExecutor", "arguments": {"rivers": 1}},
            "concurrent.futures.ThreadPoolExecutor does not take the arguments",
        ),
        (
            {
                "arguments": {"processes": False, "n_workers": 1, "dashboard_address": 0},
                "scale": {"rivers": 1},
            },
            "A local cluster cannot be scaled as penstock.cluster",
        ),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section, message):
    with cluster(**section), pytest.raises(RunnerError, match=message):
        run(DaskRunner(), lambda x: x)


@pytest.mark.parametrize("seconds", [0, -1, "soon", True])
def test_a_time_that_makes_no_sense_is_refused(seconds):
    with pytest.raises(
        RunnerError, match="give the number of seconds to wait for a worker, 3600 for instance"
    ):
        DaskRunner(worker_timeout_seconds=seconds)


@pytest.mark.cluster
@pytest.mark.parametrize("address", [None, ":0", 0])
def test_a_local_cluster_listens_on_loopback_only(address):
    """Any user who can connect to a scheduler or its dashboard can run code; a port alone does not say where to listen."""
    arguments = {} if address is None else {"dashboard_address": address}
    driver = os.getpid()
    before = listening(driver)

    during = run(DaskRunner(n_workers=1, threads_per_worker=1, **arguments), lambda _: listening(driver))

    cluster = during - before
    assert len(cluster) >= 3  # scheduler, dashboard, worker
    assert [each for each in cluster if each[0] not in LOOPBACK] == []


def test_two_imports_at_once_leave_pythons_own_way_to_set_handlers():
    """Each keeps handlers from being set meanwhile, and puts back what was there."""
    own, entered, may_leave = signal.signal, threading.Event(), threading.Event()

    def first():
        with keeping_signal_handlers():
            entered.set()
            may_leave.wait(30)

    def second():
        with keeping_signal_handlers():
            pass

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    entered.wait(30)
    threads[1].start()
    threads[1].join(0.2)
    may_leave.set()
    for thread in threads:
        thread.join()

    assert signal.signal is own
