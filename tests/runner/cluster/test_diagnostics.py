"""Dask's own tools round a run: they see the pipeline's words."""

from __future__ import annotations

import dask
import pytest
from dask.utils import key_split
from distributed import get_client, get_task_stream, performance_report, span
from distributed.diagnostics import MemorySampler

from penstock import DaskRunner, DataCatalog, TextDataset
from penstock.pipeline import node, pipeline

CHAIN = pipeline(
    [
        node(lambda x: x + 1, "x", "y", name="raise-by-one"),
        node(str, "y", "text", name="write"),
        node(len, "text", "length", name="measure"),
    ]
)
NAMES = {"raise_by_one", "write", "measure", "save:text", "load:text"}


pytestmark = [pytest.mark.apart, pytest.mark.cluster]


@pytest.fixture
def run(client, tmp_path):
    """Runs the chain, with a client that is the current one, as for most of those who use these tools."""

    def chain():
        catalog = DataCatalog({"x": 1, "text": TextDataset(tmp_path / "text.txt")})
        return DaskRunner(client).run(CHAIN, catalog)["length"].load()

    with client.as_current():
        yield chain


def tasks_in_span(client, name):
    """The names of the tasks in each span that has this name, and in those within it."""

    def look(dask_scheduler):
        spans = dask_scheduler.extensions["spans"].spans_search_by_name[name,]
        return [{group.prefix.name for group in each.traverse_groups()} for each in spans]

    return client.run_on_scheduler(look)


def test_a_span_round_a_run_has_its_nodes(client, run):
    """In the metrics of a shared cluster a user finds a run again."""
    with span("monday"):
        run()

    assert tasks_in_span(client, "monday") == [NAMES]


def test_a_span_round_a_run_has_what_nodes_compute_on_the_cluster(client):
    def total():
        inner = pipeline([node(lambda: 3, None, "z", name="inner")])
        four = dask.delayed(lambda: 4)(dask_key_name="(four-00000000-0)").compute()
        return four + DaskRunner(get_client()).run(inner, DataCatalog())["z"].load()

    outer = pipeline([node(total, None, "total", name="outer")])

    with span("tuesday"):
        result = DaskRunner(client).run(outer, DataCatalog())

    assert result["total"].load() == 7
    assert tasks_in_span(client, "tuesday") == [{"outer", "inner", "four"}]


def test_a_task_stream_has_the_names_of_the_nodes(client, run):
    with get_task_stream(client=client) as stream:
        run()

    assert {key_split(task["key"]) for task in stream.data} == NAMES


def test_a_performance_report_has_the_names_of_the_nodes(run, tmp_path):
    pytest.importorskip("bokeh", reason="the report is drawn by bokeh")

    with performance_report(filename=tmp_path / "report.html"):
        run()

    text = (tmp_path / "report.html").read_text()
    assert {name for name in NAMES if f'"{name}"' in text} == NAMES


def test_memory_is_sampled_while_a_run_goes_on(client, run):
    sampler = MemorySampler()

    with sampler.sample("chain", client=client, interval=0.01):
        run()

    assert sampler.samples["chain"]
