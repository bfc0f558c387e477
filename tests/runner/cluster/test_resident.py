"""What one run leaves on a cluster, the next run finds there."""

from __future__ import annotations

import os

import pytest

from penstock.io import DataCatalog
from penstock.pipeline import node, pipeline
from penstock.runner import DaskRunner


class Stone:
    """Data that notes in which processes it has been."""

    def __init__(self):
        self.pids = [os.getpid()]

    def __setstate__(self, state):
        self.pids = [*state["pids"], os.getpid()]


@pytest.fixture
def left_behind(client):
    """A catalog whose `stone` an earlier run has left on the cluster."""
    catalog = DataCatalog({"nothing": None})
    DaskRunner(client).run(pipeline([node(lambda _: Stone(), "nothing", "stone", name="make")]), catalog)
    return catalog


def test_the_next_run_takes_it_where_it_is(client, left_behind):
    """A second run on the model of the first must not bring it to the driver and send it back."""
    read = pipeline([node(lambda stone: stone.pids, "stone", "pids", name="read")])

    result = DaskRunner(client).run(read, left_behind)

    assert os.getpid() not in result["pids"].load()
    assert left_behind["stone"].deferred is not None


def test_it_can_be_fetched_afterwards(client, left_behind):
    DaskRunner(client).run(pipeline([node(id, "stone", "number", name="read")]), left_behind)

    pids = left_behind["stone"].load().pids

    assert os.getpid() in pids
    assert len(pids) > 1


def test_its_readers_do_not_see_what_the_others_do_to_it(client, left_behind):
    def write(stone):
        stone.pids.append("written")
        return stone.pids.count("written")

    nodes = [node(write, "stone", f"times_{index}", name=f"write_{index}") for index in range(4)]

    result = DaskRunner(client).run(pipeline(nodes), left_behind)

    assert [result[f"times_{index}"].load() for index in range(4)] == [1, 1, 1, 1]
    assert "written" not in left_behind["stone"].load().pids


def test_what_is_large_and_was_left_for_another_client_goes_round_the_scheduler(client):
    """Dask warns of large graphs, and warnings are errors here."""
    address = client.scheduler.address
    catalog = DataCatalog({"count": 20_000_000})
    DaskRunner(address).run(pipeline([node(bytes, "count", "block", name="make")]), catalog)
    assert catalog["block"].deferred is not None

    result = DaskRunner(address).run(pipeline([node(len, "block", "length", name="measure")]), catalog)

    assert result["length"].load() == 20_000_000
