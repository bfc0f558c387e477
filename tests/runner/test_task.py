"""Task: one node, by hand."""

from __future__ import annotations

import pytest

from penstock.errors import DatasetError, InvalidNodeError
from penstock.hooks import create_hook_manager
from penstock.io import DataCatalog
from penstock.pipeline import node
from penstock.runner import Task
from penstock.testing import Diary, DiaryDataset, Recorder, add_one, fail


@pytest.fixture
def diary(tmp_path):
    return Diary(tmp_path / "diary.jsonl")


@pytest.mark.parametrize("start", ["run", "execute", "__call__"])
def test_it_loads_calls_saves_and_gives_the_node(start):
    add = node(add_one, "a", "b")
    catalog = DataCatalog({"a": 1, "b": 0})
    task = Task(add, catalog)

    given = getattr(task, start)()

    assert given is task.node is add
    assert task.catalog is catalog
    assert catalog.load("b") == 2


def test_everything_happens_in_the_written_order(diary):
    datasets = {name: DiaryDataset(name, diary) for name in "abcdx"}
    datasets["a"].save(1)
    datasets["b"].save(2)
    begin = len(diary.kinds())
    both = node(lambda b, a: (a, b), ["b", "a"], ["d", "c"], name="both", confirms=["x", "c"])

    Task(both, DataCatalog(datasets)).run()

    assert diary.kinds()[begin:] == [
        *["load b", "load a", "save d", "saved d", "save c", "saved c", "confirm x", "confirm c"]
    ]


def test_hooks_fire_with_the_arguments_of_the_run(diary):
    manager = create_hook_manager([Recorder(diary)])

    Task(node(add_one, "a", "b"), DataCatalog({"a": 1, "b": 0}), False, manager, "run-3").run()

    assert diary.kinds() == [
        "before_dataset_loaded",
        "after_dataset_loaded",
        "before_node_run",
        "after_node_run",
        "before_dataset_saved",
        "after_dataset_saved",
    ]
    assert diary.notes("before_node_run")[0]["run_id"] == "run-3"


def test_a_dataset_named_twice_is_loaded_twice(diary):
    a = DiaryDataset("a", diary)
    a.save(1)

    Task(node(lambda x, y: x + y, ["a", "a"], "b"), DataCatalog({"a": a, "b": 0})).run()

    assert diary.kinds().count("load a") == 2


def test_with_is_async_all_is_loaded_and_saved(diary):
    manager = create_hook_manager([Recorder(diary)])
    catalog = DataCatalog({"a": 1, "b": 2, "c": 0, "d": 0})

    Task(
        node(lambda a, b: (b, a), ["a", "b"], ["c", "d"]), catalog, is_async=True, hook_manager=manager
    ).run()

    assert (catalog.load("c"), catalog.load("d")) == (2, 1)
    assert [note["dataset"] for note in diary.notes("before_dataset_saved")] == ["c", "d"]
    assert diary.notes("before_node_run")[0]["is_async"] is True


def test_a_generator_with_is_async_is_refused_before_anything_is_loaded(diary):
    stream = node(lambda a: (yield a), "a", "b", name="stream")

    with pytest.raises(InvalidNodeError, match="stream"):
        Task(stream, DataCatalog({"a": DiaryDataset("a", diary)}), is_async=True).run()

    assert diary.kinds() == []


def test_a_generator_is_saved_chunk_by_chunk(diary):
    catalog = DataCatalog({"b": DiaryDataset("b", diary)})

    def stream():
        yield from (1, 2)

    Task(node(stream, None, "b"), catalog).run()

    assert diary.kinds() == ["save b", "saved b"] * 2


def test_errors_pass_as_they_are():
    with pytest.raises(ValueError, match="turbines"):
        Task(node(fail, "a", "b"), DataCatalog({"a": 1, "b": 0})).run()
    with pytest.raises(DatasetError, match=r"^b: "):
        Task(node(lambda a: None, "a", "b"), DataCatalog({"a": 1, "b": 0})).run()
