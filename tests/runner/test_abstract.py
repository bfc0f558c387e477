"""AbstractRunner: runners of other people, and what all runners do before and after a run."""

from __future__ import annotations

import pytest

from penstock.errors import DatasetError
from penstock.graph import Plan
from penstock.io import DataCatalog, MemoryDataset
from penstock.pipeline import node, pipeline
from penstock.runner import AbstractRunner, RunResult, SequentialRunner, ThreadRunner
from penstock.testing import ListDataset, RunnerContract, add_one

ADD = pipeline([node(add_one, "a", "b", name="add")])


class OwnRunner(AbstractRunner):
    """The smallest runner: it only says which `get` it uses."""

    def get(self, graph, keys):
        from dask.threaded import get  # noqa: PLC0415 - as a user would in a notebook cell

        return get(dict(graph), list(keys))


class TestOwnRunner(RunnerContract):
    """Whoever overrides `get` alone has a runner that keeps all the promises."""

    @pytest.fixture
    def runner(self):
        return OwnRunner()

    @pytest.mark.skip(reason="Dask's threaded get returns at the first error; ThreadRunner waits")
    def test_nothing_goes_on_when_a_run_has_failed(self):
        """Not kept by this one."""


def test_a_subclass_may_override_run_alone():
    """It need not even call the base's constructor."""

    class Dry(AbstractRunner):
        def __init__(self, note):
            self.note = note

        def run(self, pipeline, catalog, hook_manager=None, run_id=None, only_missing_outputs=False):
            self.note.extend(node.name for node in pipeline.nodes)
            return RunResult()

    notes = []

    result = Dry(notes).run(ADD, DataCatalog())

    assert (result, notes) == ({}, ["add"])
    assert repr(Dry(notes)).endswith("Dry()")


@pytest.mark.parametrize("method", ["create_default_dataset", "create_default_data_set"])
@pytest.mark.parametrize("base", [SequentialRunner, ThreadRunner])
def test_a_subclass_decides_what_a_name_without_a_dataset_gets(base, method):
    runner = type("Listing", (base,), {method: lambda self, name: ListDataset()})()
    catalog = DataCatalog({"a": 1})

    result = runner.run(ADD, catalog)

    assert isinstance(catalog["b"], ListDataset)
    assert result["b"].load() == [2]


def test_datasets_that_the_catalog_has_are_left_as_they_are():
    class Listing(SequentialRunner):
        def create_default_dataset(self, name):
            return ListDataset()

    given = MemoryDataset()
    catalog = DataCatalog({"a": 1, "b": given})

    Listing().run(ADD, catalog)

    assert catalog["b"] is given


def test_every_name_is_registered_before_anything_runs():
    """Two threads that make the default of one name at the same time would make two."""
    catalog = DataCatalog()
    seen = []
    nodes = pipeline(
        [
            node(lambda: seen.extend(catalog.keys()) or 1, None, "x", name="first"),
            node(add_one, "x", "y", name="second"),
        ]
    )

    SequentialRunner().run(nodes, catalog)

    assert sorted(seen) == ["x", "y"]


def test_all_arguments_of_run_may_be_given_by_position():
    result = SequentialRunner(True).run(ADD, DataCatalog({"a": 1}), None, "id", False)

    assert result.run_id == "id"


def test_the_default_dataset_is_an_empty_memory_dataset():
    for make in (AbstractRunner().create_default_dataset, AbstractRunner().create_default_data_set):
        dataset = make("x")

        with pytest.raises(DatasetError):
            dataset.load()


def test_plan_is_what_run_would_hand_to_dask():
    plan = SequentialRunner().plan(ADD, DataCatalog({"a": 1}))

    assert isinstance(plan, Plan)
    assert list(SequentialRunner().get(plan.graph, plan.keys)) == [2]
