"""What all tests share: how hypothesis works, and clusters that live as long as the tests.

Starting a cluster takes longer than all that is done on it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import dask
import pytest
from hypothesis import HealthCheck, settings

from penstock.runner import ParallelRunner
from penstock.testing import Diary
from tests import flaky
from tests.soak import TIMES

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has what it starts in the background ignore Ctrl-C, and all that is started from there: no test of it could pass.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What an example costs depends on what else the machine does. Where the variable CI is set, the same examples are tried in
# each run, so that a change is judged by what it changes; everywhere else they are new ones.
settings.register_profile(
    "no hurry",
    max_examples=(20 if "TOX_ENV_NAME" in os.environ else 100) * TIMES,
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("no hurry")
settings.register_profile("smoke", settings.get_profile("no hurry"), max_examples=10)


def pytest_configure(config):
    flaky.pytest_configure(config)
    if config.getoption("markexpr") == "smoke":
        settings.load_profile("smoke")
    # Workers that tests start are forks of one process that has imported Dask: 0.1 seconds each, and not one. Those that scripts
    # start have Dask's own default.
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if {"newest", "oldest"} <= {marker.name for marker in item.iter_markers()}:
            raise pytest.UsageError(f"{item.nodeid} is marked newest and oldest: it would run nowhere")


@pytest.fixture(scope="session")
def processes():
    """A ParallelRunner that is open: starting its processes takes longer than most runs."""
    with ParallelRunner(max_workers=2) as runner:
        yield runner


@pytest.fixture(scope="session")
def async_processes():
    with ParallelRunner(max_workers=2, is_async=True) as runner:
        yield runner


@pytest.fixture(scope="session")
def cluster():
    # Here and not above: most tests do without, and `import distributed` takes longer than they do.
    from distributed import LocalCluster  # noqa: PLC0415

    with LocalCluster(
        processes=True, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def client(cluster):
    from distributed import Client  # noqa: PLC0415

    with Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(scope="session")
def in_process_client():
    from distributed import Client, LocalCluster  # noqa: PLC0415

    with (
        LocalCluster(
            processes=False, n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def diary(tmp_path):
    return Diary(tmp_path / "diary.jsonl")


@pytest.fixture
def script(tmp_path):
    """Runs Python text as a script; gives the process, which the end of the test ends."""
    started = []

    def start(text, *arguments):
        path = tmp_path / "script.py"
        path.write_text(text)
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Signals to its group, as a terminal sends them, do not reach the tests.
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def mortal():
    """A client of a cluster whose workers may be killed; their nannies start others.

    However often: by default the cluster closes a nanny whose worker is missing 15 seconds after one of that name was lost, be it
    only because it was killed once more.
    """
    from distributed import Client, LocalCluster  # noqa: PLC0415

    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}),
        LocalCluster(
            processes=True, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
