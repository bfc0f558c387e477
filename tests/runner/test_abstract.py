"""AbstractRunner: runners of other people, and what all runners do before and after a run."""

from __future__ import annotations

import threading

import pytest

import penstock
from penstock.errors import DatasetError, RunnerError
from penstock.graph import Plan
from penstock.io import DataCatalog, MemoryDataset
from penstock.pipeline import node, pipeline
from penstock.runner import AbstractRunner, ParallelRunner, RunResult, SequentialRunner, ThreadRunner
from penstock.testing import ListDataset, RunnerContract, add_one

ADD = pipeline([node(add_one, "a", "b", name="add")])


class OwnRunner(AbstractRunner):
    """The smallest runner: it only says which `get` it uses."""

    def get(self, graph, keys):
        from dask.threaded import get  # noqa: PLC0415 - as a user would in a notebook cell

        return get(dict(graph), list(keys))


@pytest.mark.newest
class TestOwnRunner(RunnerContract):
    """Whoever overrides `get` alone has a runner that keeps all the promises."""

    @pytest.fixture
    def runner(self):
        return OwnRunner()

    @pytest.mark.skip(reason="Dask's threaded get returns at the first error; ThreadRunner waits")
    def test_no_work_continues_after_a_run_has_failed(self):
        """Not kept by this one."""


def test_a_subclass_may_override_run():
    """It need not even call the base's constructor."""

    class Dry(AbstractRunner):
        def __init__(self, note):
            self.note = note

        def get(self, graph, keys):
            raise NotImplementedError

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


def test_a_runner_without_a_scheduler_cannot_be_made():
    with pytest.raises(TypeError, match="get"):
        AbstractRunner()


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
    for make in (SequentialRunner().create_default_dataset, SequentialRunner().create_default_data_set):
        dataset = make("x")

        with pytest.raises(DatasetError):
            dataset.load()


def test_plan_is_what_run_would_hand_to_dask():
    plan = SequentialRunner().plan(ADD, DataCatalog({"a": 1}))

    assert isinstance(plan, Plan)
    assert list(SequentialRunner().get(plan.graph, plan.keys)) == [2]


SOME = pipeline([node(lambda a: a, "a", "b", name="copy")])


@pytest.mark.parametrize("workers", ["2", [2], 1.5, float("nan"), True], ids=repr)
@pytest.mark.parametrize("cls", [ThreadRunner, ParallelRunner])
def test_a_number_of_workers_that_is_no_whole_number_is_refused(cls, workers):
    with pytest.raises(RunnerError, match="max_workers is"):
        cls(max_workers=workers)


@pytest.mark.parametrize("name", ["is_async", "progress"])
@pytest.mark.parametrize("cls", [SequentialRunner, ThreadRunner, ParallelRunner, penstock.DaskRunner])
def test_a_flag_that_is_a_text_is_refused(cls, name):
    """As a command line gives it, where `no` would count as true."""
    with pytest.raises(RunnerError, match=f"{name} is 'no'; give True or False"):
        cls(**{name: "no"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([node(len, "a", "b", name="n")], DataCatalog({"a": 1})),
            r"pipeline is a list: make one with pipeline",
        ),
        ((SOME, [1]), r"catalog is a list: make one with DataCatalog\(\{\.\.\.\}\), or give a dict"),
        ((DataCatalog(), SOME), r"pipeline is a DataCatalog.*catalog is a Pipeline"),
        ((SOME, DataCatalog), r"catalog is the class DataCatalog"),
        (
            (SOME, DataCatalog({"a": 1}), [object()]),
            r"hook manager is a list: make one with create_hook_manager",
        ),
        (([], [], ()), r"pipeline is a list.*catalog is a list.*hook manager is a tuple"),
    ],
)
@pytest.mark.parametrize("method", ["run", "run_only_missing", "plan"])
def test_arguments_that_are_mixed_up_are_named_with_what_to_write(method, arguments, message):
    """A list of plugins for a hook manager ran to the end, and no hook fired."""
    with pytest.raises(RunnerError, match=message):
        getattr(SequentialRunner(), method)(*arguments)


def test_a_class_is_no_runner():
    with pytest.raises(RunnerError, match=r"the class ThreadRunner; give an instance: ThreadRunner\(\)"):
        penstock.run(SOME, {"a": 1}, ThreadRunner)


class Broken(ListDataset):
    """In memory, and of no use."""

    def save(self, data):
        raise DatasetError("it is full")


@pytest.mark.parametrize(
    ("catalog", "message"),
    [
        (DataCatalog({"a": 1, "kept": Broken()}), r"^kept: it is full"),
        (
            DataCatalog({"a": threading.Lock, "kept": MemoryDataset(copy_mode="deepcopy")}),
            r"^kept: Cannot make",
        ),
    ],
)
def test_an_error_of_a_dataset_in_memory_begins_with_its_name(catalog, message):
    """Which of a hundred datasets holds the lock?"""
    give = pipeline(
        [
            node(lambda a: a() if callable(a) else a, "a", "kept", name="give"),
            node(id, "kept", "number", name="read"),
        ]
    )

    with pytest.raises(DatasetError, match=message):
        SequentialRunner().run(give, catalog)
