"""What need not run, and where a failed run is taken up again."""

from __future__ import annotations

import itertools
import logging

import pytest

from penstock.io import DataCatalog, MemoryDataset
from penstock.pipeline import node, pipeline
from penstock.runner.missing import missing_outputs, only_missing, resume_nodes
from penstock.testing import Diary, DiaryDataset, add_one

LOG = logging.getLogger("tests.missing")


@pytest.fixture
def catalog_with(tmp_path):
    """A catalog with stored datasets of which some exist, and others in memory."""
    diary = Diary(tmp_path / "diary.jsonl")

    def make(*, stored="", exist="", memory=""):
        catalog = DataCatalog({"a": 1, **{name: MemoryDataset() for name in memory}})
        for name in stored:
            catalog[name] = DiaryDataset(name, diary)
            if name in exist:
                catalog.save(name, 1)
        return catalog

    return make


def chain(names="abcd"):
    return pipeline([node(add_one, x, y, name=f"{x}{y}") for x, y in itertools.pairwise(names)])


def names_of(nodes):
    return sorted(each.name for each in nodes.nodes)


@pytest.mark.parametrize(
    ("stored", "exist", "memory", "run"),
    [
        ("bcd", "", "", ["ab", "bc", "cd"]),
        ("bcd", "bcd", "", []),
        ("bcd", "bc", "", ["cd"]),
        ("bcd", "bd", "", ["bc"]),
        ("bcd", "cd", "", ["ab"]),
        ("d", "", "", ["ab", "bc", "cd"]),
        ("d", "d", "", []),
        ("bd", "b", "", ["bc", "cd"]),
        ("b", "b", "", []),
        ("", "", "bcd", []),
        ("", "", "", []),
        ("bd", "bd", "c", []),
    ],
)
def test_only_missing_outputs_runs_what_is_not_stored_and_what_that_needs(
    catalog_with, stored, exist, memory, run
):
    """Outputs in memory alone make no node run: they are missing in every new process."""
    catalog = catalog_with(stored=stored, exist=exist, memory=memory)

    assert names_of(only_missing(chain(), catalog, LOG)) == run


def test_nodes_without_outputs_always_run(catalog_with):
    """They are there for what they do: send a mail, fill a table."""
    nodes = chain() + pipeline([node(print, "c", None, name="show")])

    assert names_of(only_missing(nodes, catalog_with(stored="bcd", exist="bcd"), LOG)) == ["show"]
    assert names_of(only_missing(nodes, catalog_with(stored="bd", exist="bd"), LOG)) == ["bc", "show"]


def test_one_missing_output_of_several_makes_its_node_run(catalog_with):
    nodes = pipeline([node(lambda a: (a, a), "a", ["b", "c"], name="two")])

    assert names_of(only_missing(nodes, catalog_with(stored="bc", exist="b"), LOG)) == ["two"]
    assert names_of(only_missing(nodes, catalog_with(stored="bc", exist="bc"), LOG)) == []


def test_what_is_skipped_is_logged_with_counts_and_reasons(catalog_with, caplog):
    with caplog.at_level(logging.DEBUG, LOG.name):
        only_missing(chain(), catalog_with(stored="bcd", exist="bc"), LOG)

    info = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    debug = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert any("1 nodes run, 2 are skipped" in line for line in info)
    assert any("ab, bc" in line for line in info)
    assert any("cd runs" in line and "d does not exist" in line for line in debug)


def test_errors_of_the_catalog_are_not_swallowed(catalog_with):
    class Broken(DataCatalog):
        def __contains__(self, name):
            raise LookupError("no such file system")

    with pytest.raises(LookupError, match="file system"):
        only_missing(chain(), Broken(), LOG)


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ({}, ["ab", "bc", "cd"]),
        ({"b": 1}, ["bc", "cd"]),
        ({"c": 1}, ["cd"]),
        ({"b": 1, "d": 1}, []),
        ({"c": None}, ["cd"]),
    ],
)
def test_run_only_missing_starts_from_what_exists(given, run):
    catalog = DataCatalog({"a": 1, **{name: MemoryDataset(data) for name, data in given.items()}})

    assert names_of(missing_outputs(chain(), catalog)) == run


def test_run_only_missing_follows_a_transcoded_dataset_to_its_maker():
    nodes = pipeline([node(add_one, "a", "x@one", name="make"), node(add_one, "x@two", "d", name="use")])

    assert names_of(missing_outputs(nodes, DataCatalog({"a": 1}))) == ["make", "use"]


@pytest.mark.parametrize(
    ("stored", "finished", "hint"),
    [
        ("bcd", {"ab", "bc"}, ["cd"]),
        ("b", {"ab", "bc"}, ["bc"]),
        ("", {"ab", "bc"}, ["ab"]),
        ("c", {"ab", "bc"}, ["cd"]),
        ("bcd", {"ab"}, ["bc"]),
        ("bcd", {"ab", "bc", "cd"}, []),
    ],
)
def test_a_run_is_taken_up_where_its_data_is_stored(catalog_with, stored, finished, hint):
    """What was in memory is lost, so the node that made it has to run again."""
    assert resume_nodes(chain(), catalog_with(stored=stored), finished) == hint


def test_parameters_are_not_lost():
    """They come from the configuration, not from a node."""
    nodes = pipeline(
        [
            node(add_one, "a", "b", name="first"),
            node(lambda b, rate: b, ["b", "params:rate"], "c", name="second"),
        ]
    )

    assert resume_nodes(nodes, DataCatalog({"a": 1, "params:rate": 2}), {"first"}) == ["first"]


def test_all_ends_of_what_failed_are_named(catalog_with):
    nodes = pipeline(
        [
            node(add_one, "a", "b", name="root"),
            node(add_one, "b", "c", name="left"),
            node(add_one, "b", "d", name="right"),
        ]
    )

    assert resume_nodes(nodes, catalog_with(stored="bcd"), {"root"}) == ["left", "right"]
