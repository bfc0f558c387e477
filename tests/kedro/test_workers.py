"""What workers know of a project: its package, though it is not installed, its newest code, its settings, its logging."""

from __future__ import annotations

import itertools
import json
import re
import shutil


def end(project):
    return json.loads(project.read("data/end.json"))["checked"]


def change(project, old, new):
    place = "src/door/gauges.py"
    text = project.read(place)
    assert old in text
    project.write(place, text.replace(old, new))


def test_a_worker_that_has_run_the_project_before_runs_the_code_as_it_is_now(cluster, project):
    """Python imports a module once, and a cluster outlives many a change: without care, the old code runs without a word."""
    cluster.run(project)
    before = end(project)

    change(project, "self.scale * drops", "self.scale * drops * 10")
    cluster.run(project)

    assert (before, end(project)) == (30, 2 * (10 * 2 * 6 + 3))


def test_a_cluster_is_left_as_it_was(cluster, project):
    from distributed import Client  # noqa: PLC0415 - only the tests of clusters wait for this import

    cluster.run(project)

    assert end(project) == 30
    with Client(cluster.address, set_as_default=False) as client:
        plugins = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
        on_workers = client.run(lambda dask_worker: list(dask_worker.plugins)).values()
    assert not [name for name in (*plugins, *itertools.chain(*on_workers)) if "penstock" in name]


def test_workers_that_do_not_see_the_projects_folder_get_its_source(cluster, project):
    """As if they were on another machine: the driver tells of a folder that is not there."""
    project.write(
        "elsewhere.py",
        """
import dataclasses, sys
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
import penstock.kedro.cluster as door
from penstock.kedro.project import current_project

bootstrap_project(Path.cwd())
elsewhere = dataclasses.replace(current_project().with_archive(), source="/nowhere")
door.current_project = lambda: elsewhere
with KedroSession.create() as session:
    result = session.run(runner=door.DaskRunner(sys.argv[1]), to_nodes=["add"], node_names=None)
print("both is", result["both"].load())
""",
    )
    project.rename("portal")
    hooks = project.read("src/portal/hooks.py").replace(
        "Path(__file__).parents[2]", "Path(__file__).parents[1]"
    )
    project.write("src/portal/hooks.py", hooks)

    printed = project.python("elsewhere.py", cluster.address)

    assert "both is 30" in printed


def test_a_node_may_run_nodes_of_its_project_although_the_folder_is_a_copy_there(cluster, project):
    """The inner run is the same project: the outer one, which lasts longer, must not keep it away."""
    project.rename("gateway")
    project.write(
        "src/gateway/nested.py",
        """
from kedro.framework.project import configure_project
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline
from penstock.kedro import DaskRunner

def inner():
    from gateway.gauges import Gauge
    return Gauge(3, 4).read(5)

def outer(address):
    made = pipeline([node(inner, None, "made", name="inner")])
    return DaskRunner(address).run(made, DataCatalog())["made"].load()
""",
    )
    project.write(
        "nest.py",
        """
import dataclasses, sys
from pathlib import Path
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
import penstock.kedro.cluster as door
from penstock.kedro.project import current_project

bootstrap_project(Path.cwd())
elsewhere = dataclasses.replace(current_project().with_archive(), source="/nowhere")
door.current_project = lambda: elsewhere
from gateway.nested import outer
catalog = DataCatalog({"address": MemoryDataset(sys.argv[1])})
result = door.DaskRunner(sys.argv[1]).run(pipeline([node(outer, "address", "made", name="outer")]), catalog)
print("made is", result["made"].load())
""",
    )

    assert "made is 19" in project.python("nest.py", cluster.address)


def test_an_installed_project_is_not_mistaken_for_the_source_of_the_same_name(project):
    """A process that has entered a project from its folder finds the installed one afterwards."""
    folder = project.path / "src"
    installed = project.path / "site-packages"
    shutil.copytree(folder / "door", installed / "door")
    (folder / "door" / "place.py").write_text("NAME = 'source'")
    (installed / "door" / "place.py").write_text("NAME = 'installed'")
    project.environment["PYTHONPATH"] = str(installed)
    project.write(
        "both.py",
        f"""
from penstock.kedro.project import Project

for source, fingerprint in (({str(folder)!r}, "f"), ("", ""), ({str(folder)!r}, "f")):
    Project("door", source, fingerprint, frozenset(["door"]))()
    from door.place import NAME
    print("from", NAME)
""",
    )

    printed = project.python("both.py")

    assert re.findall("from (source|installed)", printed) == ["source", "installed", "source"]


def test_a_module_that_a_worker_cannot_import_is_named_before_anything_runs(cluster, project):
    """The driver has a module that the workers lack: here, since only the driver knows where it is."""
    lonely = project.path / "lonely"
    lonely.mkdir()
    lonely.joinpath("only_here.py").write_text("")
    project.environment["PYTHONPATH"] = f"{lonely}:{project.environment.get('PYTHONPATH', '')}"
    project.write("src/door/gauges.py", "import only_here\n" + project.read("src/door/gauges.py"))

    printed = cluster.run(project, fails=True)

    assert "No module named 'only_here'" in printed
    assert "UnfitWorkersError" in printed
    assert [note for note in project.notes() if note.startswith("before")] == []


def install(project, name):
    """As `pip install` leaves it: the package is where the driver's other packages are, and nothing is below `src`."""
    project.rename(name)
    packages = project.path / "site-packages"
    shutil.move(project.path / "src" / name, packages / name)
    project.environment["PYTHONPATH"] = f"{packages}:{project.environment.get('PYTHONPATH', '')}"


def test_workers_of_this_machine_import_an_installed_project_as_the_driver_does(project):
    install(project, "gate")

    project.run("ParallelRunner", "--tags=gauge")

    assert (project.path / "data" / "north_measured.pkl").exists()


def test_an_installed_project_that_a_worker_lacks_is_named_before_anything_runs(cluster, project):
    """Its source is not sent: what is installed is the concern of the administrator of the workers."""
    install(project, "gate")

    printed = cluster.run(project, "--tags=gauge", fails=True)

    assert "No module named 'gate'" in printed
    assert "Install" in printed
    assert not (project.path / "data" / "north_measured.pkl").exists()


def test_a_source_folder_with_data_in_it_is_too_much_to_send(cluster, project):
    (project.path / "src" / "flights.bin").write_bytes(bytes(20_000_001))

    printed = cluster.run(project, "--tags=gauge", fails=True)

    assert re.search(r"ClusterError: The folder .*src holds more than 20 MB", printed)
    assert "Move data out of it" in printed


def test_a_project_that_cannot_be_entered_is_named_with_what_to_do(project):
    enter = "from penstock.kedro.project import Project; Project('absent', '/nowhere', 'fingerprint', frozenset(['absent']))()"

    printed = project.python("-c", enter, fails=True)

    assert "ClusterError: A worker cannot import the project's package 'absent'" in printed
    assert "Install there what the project needs" in printed


def test_a_plugin_that_cannot_travel_is_named_before_anything_runs(project):
    hooks = project.read("src/door/hooks.py")
    project.write("src/door/hooks.py", hooks.replace("class Notes:", "class Notes:\n    lock = None\n"))
    settings = project.read("src/door/settings.py")
    locked = settings.replace(
        "HOOKS =", "import threading\nlocked = Notes()\nlocked.lock = threading.Lock()\nHOOKS ="
    )
    project.write("src/door/settings.py", locked.replace("(Notes(),", "(locked,"))

    printed = project.run("ParallelRunner", fails=True)

    assert "hook plugin Notes: its attribute 'lock'" in printed
    assert "SequentialRunner or ThreadRunner" in printed
    assert [note for note in project.notes() if note.startswith("before")] == []


def test_nodes_on_workers_find_the_projects_settings_pipelines_and_logging(project):
    """As Kedro's own `ParallelRunner` has it: the project is configured in each process."""
    project.write(
        "src/door/pipelines/rain/__init__.py",
        """
import logging
from kedro.pipeline import node, pipeline

def ask():
    from kedro.framework.project import pipelines, settings
    logging.getLogger(__name__).info("the node says %s", "hello")
    return {"checked": [sorted(pipelines), len(settings.HOOKS)]}

def create_pipeline(**kwargs):
    return pipeline([node(ask, None, "end", name="ask")])
""",
    )

    printed = project.run("ParallelRunner")

    assert end(project) == [["__default__", "rain"], 2]
    assert "the node says hello" in printed
    assert "Completed node ask (1 of 1)" in printed


def test_a_session_runs_by_hand_and_plugins_come_from_entry_points(project):
    """`KedroSession.create()` and `session.run(runner=...)`, with a plugin that is found as an installed one is."""
    plugin = project.path / "plugin"
    plugin.mkdir()
    plugin.joinpath("telling.py").write_text(
        """
from kedro.framework.hooks import hook_impl
from door.hooks import note

class Telling:
    @hook_impl
    def after_node_run(self, node):
        note("plugin", node.name)

telling = Telling()
"""
    )
    info = plugin / "telling-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: telling\nVersion: 1.0\n")
    info.joinpath("entry_points.txt").write_text("[kedro.hooks]\ntelling = telling:telling\n")
    project.environment["PYTHONPATH"] = f"{plugin}:{project.environment.get('PYTHONPATH', '')}"
    project.write(
        "by_hand.py",
        """
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from penstock.kedro import ParallelRunner

bootstrap_project(Path.cwd())
for tags in (["gauge"], ["sum", "gauge"]):
    with KedroSession.create(runtime_params={"scale": 7}) as session:
        result = session.run(runner=ParallelRunner(max_workers=2), tags=tags)
print("result", sorted(result), result["north.total"].load())
""",
    )

    printed = project.python("by_hand.py")

    assert "result ['north.total', 'south.total'] 45" in printed
    notes = project.notes()
    assert notes.count("plugin calibrate") == 2
    assert notes.count("plugin north.total") == 1


def test_sessions_share_the_processes_of_an_open_runner(project):
    """Also of one that was opened before the project was known: its processes have to enter the project."""
    project.write(
        "by_hand.py",
        """
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from penstock.kedro import ParallelRunner

with ParallelRunner(max_workers=1) as runner:
    bootstrap_project(Path.cwd())
    workers = []
    for _ in range(2):
        with KedroSession.create(runtime_params={"scale": 7}) as session:
            result = session.run(runner=runner, tags=["sum", "gauge"])
        workers += {record.worker for record in result.records}
print("result", result["north.total"].load(), len(workers), len({*workers}))
""",
    )

    assert "result 45 2 1" in project.python("by_hand.py")
