"""What a run does when a worker dies: it ends with the right result, and what was saved is not done again."""

from __future__ import annotations

import os
import signal

import pytest
from distributed import Client, LocalCluster

from penstock import DaskRunner, DataCatalog
from penstock.pipeline import node, pipeline
from penstock.testing import DiaryDataset


@pytest.fixture(scope="module")
def mortal():
    """A cluster whose workers may be killed; their nannies start others."""
    with (
        LocalCluster(
            processes=True, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def runner(mortal):
    mortal.wait_for_workers(2)
    return DaskRunner(mortal)


def kill_first(diary, times=1):
    """End this worker, as the kernel does for want of memory, unless it was done often enough."""
    if len(diary.notes("killed")) < times:
        diary.note("killed")
        os.kill(os.getpid(), signal.SIGKILL)


def noting(diary, what, value=None):
    def run(*inputs):
        diary.note(what)
        return [what, *inputs] if value is None else value

    return run


def deadly(diary, what, times=1):
    def run(*inputs):
        kill_first(diary, times)
        diary.note(what)
        return [what, *inputs]

    return run


def test_what_was_saved_is_loaded_when_its_worker_dies(runner, diary):
    """Dask alone would call `first` and save `stored` again."""
    nodes = pipeline(
        [
            node(noting(diary, "first"), None, "stored", name="first"),
            node(deadly(diary, "second"), "stored", "second", name="second"),
        ]
    )

    result = runner.run(nodes, DataCatalog({"stored": DiaryDataset("stored", diary)}))

    assert result["second"].load() == ["second", ["first"]]
    assert diary.whats().count("first") == 1
    assert diary.whats().count("save stored") == 1
