"""What plain Python drivers hear of workers that have loaded other code than theirs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from distributed import Client, LocalCluster

pytestmark = pytest.mark.cluster

PACKAGE = "penstock_test_weir"

DRIVER = f"""
import sys
from penstock import DaskRunner, DataCatalog, node
from penstock.pipeline import pipeline
from {PACKAGE}.nodes import work

result = DaskRunner(sys.argv[1]).run(pipeline([node(work, None, "made", name="work")]), DataCatalog())
print("made", *result["made"].load())
"""

NODES = f"""
from {PACKAGE} import helper

def work():
    from {PACKAGE} import late
    return helper.NAME, late.NAME
"""

WARNING = "Workers have loaded other code of these modules"


class Checkout:
    """A folder with a package, and drivers that import it from there."""

    def __init__(self, folder, cluster):
        self.folder = folder
        self.cluster = cluster
        self.write("__init__", "")
        self.write("nodes", NODES)
        for module in ("helper", "late"):
            self.write(module, f"NAME = {folder.name!r}\n")

    def write(self, module, text):
        path = self.path(module)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def path(self, module):
        return self.folder / PACKAGE / f"{module}.py"

    def run(self, driver=DRIVER, *, fails=False):
        """What a driver, which is a process of its own, prints and logs."""
        done = subprocess.run(
            [sys.executable, "-c", driver, self.cluster.scheduler_address],
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, printed
        return printed


@pytest.fixture
def checkouts(tmp_path, monkeypatch):
    """A checkout that scheduler and workers see as well, and another one that only drivers see."""
    (tmp_path / "shared").mkdir()
    # Workers start with the path of this process.
    monkeypatch.syspath_prepend(str(tmp_path / "shared"))
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        yield [Checkout(tmp_path / name, cluster) for name in ("shared", "elsewhere")]
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def test_a_helper_that_was_changed_after_workers_loaded_it_is_named(checkouts):
    """Workers run the code that they have loaded; a change is no reason to refuse a run, as it may be a comment."""
    shared, _ = checkouts
    first, second = shared.run(), shared.run()
    shared.write("helper", "NAME = 'new name'\n")

    third = shared.run()

    assert WARNING not in first + second
    assert WARNING in third
    assert third.count(f"{PACKAGE}.helper, which is {shared.path('helper')} on worker tcp://127.0.0.1:") == 1
    assert f"{PACKAGE}.nodes" not in third
    assert f"{PACKAGE}.late" not in third
    assert "made shared shared" in third


def test_a_helper_that_workers_loaded_late_is_named(checkouts):
    """The driver has not loaded it, and no check had seen it on the worker before the file was changed."""
    shared, _ = checkouts
    shared.run()
    shared.write("late", "NAME = 'new name'\n")

    printed = shared.run()

    assert (
        f"{PACKAGE}.late, which is {shared.path('late')}, perhaps before its last change, on worker"
        in printed
    )
    assert f"{PACKAGE}.helper" not in printed
    assert "made shared " in printed


def test_workers_that_are_restarted_have_the_new_code(checkouts):
    shared, _ = checkouts
    shared.run()
    shared.write("helper", "NAME = 'new name'\n")
    with Client(shared.cluster, set_as_default=False) as client:
        client.restart()

    printed = shared.run()

    assert WARNING not in printed
    assert "made new name shared" in printed


def test_a_driver_from_another_folder_is_shown_the_modules_that_differ(checkouts):
    shared, elsewhere = checkouts

    printed = elsewhere.run()

    assert f"{PACKAGE}.helper, which is {shared.path('helper')} on worker" in printed
    assert f"{PACKAGE}.nodes" not in printed
    assert "made shared shared" in printed


def test_a_module_that_the_package_there_lacks_is_refused_for_the_real_reason(checkouts):
    """The workers have a package of that name: to install the driver's there as well would not help."""
    shared, elsewhere = checkouts
    elsewhere.write("extra_nodes", NODES)

    printed = elsewhere.run(DRIVER.replace(".nodes", ".extra_nodes"), fails=True)

    assert f"cannot import {PACKAGE}.extra_nodes (ModuleNotFoundError" in printed
    assert f"{PACKAGE!r} is {shared.folder / PACKAGE} there, and {elsewhere.folder / PACKAGE} here" in printed
    assert "A process imports one package of a name" in printed
    assert "Install there" not in printed
