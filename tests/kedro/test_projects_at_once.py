"""Two projects at once on one cluster: workers import one package of a name, so the second must not meet the code of the first."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kedro.conftest import Project


@dataclass
class Site:
    """A project whose only node waits, and names the checkout that its modules come from: at once, in a helper, and imported late."""

    project: Project
    name: str

    @property
    def folder(self) -> Path:
        return self.project.path

    @contextlib.contextmanager
    def start(self, cluster, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A `kedro run`, as a process of its own."""
        command = [
            sys.executable,
            *(arguments or ("-m", "kedro", "run", "--runner=penstock.kedro.DaskRunner")),
        ]
        environment = {**self.project.environment, "DASK_SCHEDULER_ADDRESS": cluster.address}
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as run:
            try:
                yield run
            finally:
                run.kill()

    def end(self):
        return json.loads(self.project.read("data/end.json"))

    def wait_until_it_works(self, run: subprocess.Popen[str]) -> None:
        until(lambda: (self.folder / "begun").exists() or run.poll() is not None)
        assert run.poll() is None, run.communicate()[0]

    def go(self) -> None:
        (self.folder / "go").touch()


def until(is_so, seconds=60):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never was so"
        time.sleep(0.02)


PIPELINE = """
import time
from pathlib import Path
from kedro.pipeline import node, pipeline
from PACKAGE import helper
import beside

def work():
    folder = Path("FOLDER")
    with (folder / "begun").open("a") as file:
        file.write("begun ")
    while not (folder / "go").exists():
        time.sleep(0.02)
    from PACKAGE import late
    import late_beside
    return ["NAME", helper.NAME, late.NAME, beside.NAME, late_beside.NAME]

def create_pipeline(**kwargs):
    return pipeline([node(work, None, "end", name="work")])
"""

MODULES = ("helper.py", "late.py", "../beside.py", "../late_beside.py")


@pytest.fixture
def site(template, tmp_path):
    """Makes projects, each in a folder of its own."""

    def make(name: str, package: str = "door") -> Site:
        project = Project(shutil.copytree(template, tmp_path / name))
        if package != "door":
            project.rename(package)
        text = PIPELINE.replace("PACKAGE", package).replace("FOLDER", str(project.path))
        project.write(f"src/{package}/pipelines/rain/__init__.py", text.replace("NAME", name, 1))
        for module in MODULES:
            project.write(f"src/{package}/{module}", f"NAME = {name!r}\n")
        return Site(project, name)

    return make


def test_another_project_of_the_same_package_name_is_refused_while_the_first_runs(cluster, site):
    """Python imports one package of a name: the second would run the code of the first, and end with success."""
    first, second = site("first"), site("second")
    second.go()
    with first.start(cluster) as run:
        first.wait_until_it_works(run)

        refused = cluster.run(second.project, fails=True)
        first.go()
        printed = run.communicate()[0]
    later = cluster.run(second.project)

    assert run.returncode == 0, printed
    assert first.end() == ["first"] * 5
    assert "UnfitWorkersError: " in refused
    assert f"package 'door' in {first.folder / 'src'}" in refused
    assert f"{socket.gethostname()} (process {run.pid})" in refused
    assert f"package 'door' in {second.folder / 'src'}" in refused
    assert "Run on another cluster, or wait until the other run has ended" in refused
    assert (second.folder / "begun").read_text() == "begun ", later
    assert second.end() == ["second"] * 5


def test_projects_with_other_packages_are_refused_if_a_module_beside_the_package_has_the_same_name(
    cluster, site
):
    first, second = site("first", "sluice"), site("second", "weir")
    second.go()
    with first.start(cluster) as run:
        first.wait_until_it_works(run)
        refused = cluster.run(second.project, fails=True)
        first.go()
        assert run.wait(60) == 0
    cluster.run(second.project)
    (first.folder / "data/end.json").unlink()
    cluster.run(first.project)

    assert "'beside', 'late_beside'" in refused
    assert (first.end(), second.end()) == (["first"] * 5, ["second"] * 5)


def test_a_project_without_the_modules_of_the_other_is_refused_for_the_real_reason(cluster, site):
    """The workers would miss its modules; to install them there would not help."""
    first, second = site("first"), site("second")
    place = "src/door/pipelines/rain/__init__.py"
    second.project.write("src/door/dnodes.py", second.project.read(place))
    second.project.write(place, "from door.dnodes import create_pipeline\n")
    with first.start(cluster) as run:
        first.wait_until_it_works(run)
        refused = cluster.run(second.project, fails=True)
        first.go()
        assert run.wait(60) == 0

    assert "UnfitWorkersError: " in refused
    assert "Install there" not in refused


def test_one_checkout_may_run_twice_at_once(cluster, site):
    only = site("only")
    with only.start(cluster) as one, only.start(cluster) as two:
        begun = only.folder / "begun"
        until(lambda: (begun.exists() and begun.read_text() == "begun begun ") or one.poll() or two.poll())
        only.go()
        printed = one.communicate()[0] + two.communicate()[0]

    assert (one.returncode, two.returncode) == (0, 0), printed
    assert only.end() == ["only"] * 5


HOLDING = """
import subprocess, sys
from pathlib import Path
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline
from penstock.kedro import DaskRunner

bootstrap_project(Path.cwd())
from door.pipelines.rain import work
result = DaskRunner(sys.argv[1]).run(pipeline([node(work, None, "made", name="work")]), DataCatalog())
done = subprocess.run([sys.executable, "-m", "kedro", "run", "--runner=penstock.kedro.DaskRunner"], cwd="../second")
print("second ended with", done.returncode, "first has", result["made"].load())
"""


def test_outputs_that_a_driver_holds_after_its_run_keep_no_other_project_away(cluster, site):
    """A notebook holds them for days."""
    first, second = site("first"), site("second")
    for each in (first, second):
        each.go()
    first.project.write("holding.py", HOLDING)
    first.project.environment["DASK_SCHEDULER_ADDRESS"] = cluster.address

    printed = first.project.python("holding.py", cluster.address)

    assert f"second ended with 0 first has {['first'] * 5}" in printed
    assert second.end() == ["second"] * 5


AT_ONCE = """
import sys, time
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from penstock import UnfitWorkersError
from penstock.kedro import DaskRunner
import penstock.kedro.cluster

bootstrap_project(Path.cwd())
with KedroSession.create() as session:
    Path("ready").touch()
    while not Path("../together").exists():
        time.sleep(0.001)
    try:
        session.run(runner=DaskRunner())
    except UnfitWorkersError:
        print("refused")
"""


def test_of_two_drivers_that_start_in_the_same_instant_one_gets_through(cluster, site, tmp_path):
    """Each waits for a file, so both ask the scheduler at once; the node of the winner ends when the other one was refused."""
    sites = [site("first"), site("second")]
    for each in sites:
        each.project.write("at_once.py", AT_ONCE)
    with sites[0].start(cluster, "at_once.py") as one, sites[1].start(cluster, "at_once.py") as two:
        until(lambda: all((each.folder / "ready").exists() for each in sites) or one.poll() or two.poll())
        (tmp_path / "together").touch()
        until(lambda: one.poll() is not None or two.poll() is not None)
        for each in sites:
            each.go()
        printed = [run.communicate()[0] for run in (one, two)]

    refused = ["refused" in text for text in printed]
    assert sorted(refused) == [False, True], printed
    winner, loser = sites[refused.index(False)], sites[refused.index(True)]
    assert winner.end() == [winner.name] * 5
    assert not (loser.folder / "begun").exists()


def test_a_driver_that_is_killed_keeps_no_other_project_away(cluster, site):
    from distributed import Client  # noqa: PLC0415 - only the tests of clusters wait for this import

    first, second = site("first"), site("second")
    second.go()
    with first.start(cluster) as run, Client(cluster.address, set_as_default=False) as client:
        first.wait_until_it_works(run)
        during = ours_on(client)
        run.kill()
        run.wait()
        first.go()
        until(lambda: not ours_on(client))
    cluster.run(second.project)

    assert any("modules" in name for name in during)
    assert second.end() == ["second"] * 5


def ours_on(client):
    names = client.run_on_scheduler(
        lambda dask_scheduler: [*dask_scheduler.plugins, *dask_scheduler.worker_plugins]
    )
    return [name for name in map(str, names) if name.startswith("penstock-")]
