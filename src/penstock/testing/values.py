"""Promises about values: a node gets what the node before it returned, and the caller gets the outputs."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import DatasetError
from penstock.io import DataCatalog, MemoryDataset
from penstock.pipeline import node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import Diary, DiaryDataset, ListDataset, add_one


class ValuePromises(RunnerPromises):
    """A pipeline gives the same values on every scheduler."""

    def test_values_are_passed_from_node_to_node(self, runner: Any) -> None:
        catalog = DataCatalog({"a": 1})
        chain = pipeline([node(add_one, "a", "b"), node(add_one, "b", "c"), node(add_one, "c", "d")])

        result = runner.run(chain, catalog)

        assert list(result) == ["d"]
        assert result["d"].load() == 4

    def test_lambdas_closures_and_local_classes_run(self, runner: Any) -> None:
        """Code in a notebook runs without being moved to a module first."""

        class Reading:
            def __init__(self, level: int) -> None:
                self.level = level

        offset = 10
        nodes = pipeline(
            [
                node(lambda level: Reading(level + offset), "level", "reading", name="read"),
                node(lambda reading: reading.level, "reading", "shown", name="show"),
            ]
        )

        result = runner.run(nodes, DataCatalog({"level": 1}))

        assert result["shown"].load() == 11

    def test_each_of_several_outputs_reaches_its_readers(self, runner: Any, diary: Diary) -> None:
        """Each output is a separate value in the graph, so that it can be freed separately."""
        catalog = DataCatalog({"stored": DiaryDataset("stored", diary)})
        nodes = pipeline(
            [
                node(lambda: (1, 2, 3), None, ["first", "stored", "last"], name="make"),
                node(lambda first, stored: (first, stored), ["first", "stored"], "both", name="join"),
            ]
        )

        result = runner.run(nodes, catalog)

        assert {name: dataset.load() for name, dataset in result.items()} == {"both": (1, 2), "last": 3}

    def test_inputs_and_outputs_are_mapped_by_name(self, runner: Any) -> None:
        nodes = pipeline(
            [
                node(
                    lambda low, high: {"sum": low + high, "span": high - low},
                    {"high": "b", "low": "a"},
                    {"span": "y", "sum": "x"},
                    name="split",
                )
            ]
        )

        result = runner.run(nodes, DataCatalog({"a": 1, "b": 5}))

        assert (result["x"].load(), result["y"].load()) == (6, 4)

    def test_a_dataset_named_twice_is_passed_twice(self, runner: Any) -> None:
        nodes = pipeline([node(lambda a, b: a + b, ["x", "x"], "y", name="double")])

        result = runner.run(nodes, DataCatalog({"x": [1]}))

        assert result["y"].load() == [1, 1]

    def test_nodes_without_inputs_or_without_outputs_run(self, runner: Any, diary: Diary) -> None:
        nodes = pipeline(
            [
                node(lambda: 5, None, "a", name="begin"),
                node(lambda a: diary.note(f"got {a}"), "a", None, name="end"),
            ]
        )

        result = runner.run(nodes, DataCatalog())

        assert result == {}
        assert diary.kinds() == ["got 5"]

    def test_an_empty_pipeline_gives_an_empty_result(self, runner: Any) -> None:
        assert runner.run(pipeline([]), DataCatalog()) == {}

    def test_none_can_be_a_free_input(self, runner: Any) -> None:
        """An optional parameter is None in many catalogs."""
        nodes = pipeline([node(lambda nothing: nothing is None, "nothing", "is_none", name="look")])

        result = runner.run(nodes, DataCatalog({"nothing": MemoryDataset(None)}))

        assert result["is_none"].load() is True

    @pytest.mark.parametrize("kind", ["memory", "registered", "stored"])
    def test_none_cannot_be_saved(self, runner: Any, diary: Diary, kind: str) -> None:
        """A function without its `return` gives an error that names the output."""
        given: dict[str, dict[str, Any]] = {
            "memory": {},
            "registered": {"b": MemoryDataset()},
            "stored": {"b": DiaryDataset("b", diary)},
        }
        nodes = pipeline([node(lambda a: None, "a", "b", name="forget")])

        with pytest.raises(DatasetError, match="b"):
            runner.run(nodes, DataCatalog({"a": 1, **given[kind]}))

    def test_an_intermediate_can_be_a_registered_memory_dataset(self, runner: Any) -> None:
        catalog = DataCatalog({"a": 1, "b": MemoryDataset()})
        nodes = pipeline([node(add_one, "a", "b"), node(add_one, "b", "c", name="other")])

        assert runner.run(nodes, catalog)["c"].load() == 3

    def test_an_intermediate_of_an_earlier_run_is_not_read(self, runner: Any) -> None:
        catalog = DataCatalog({"a": 1, "b": MemoryDataset(100)})
        nodes = pipeline([node(add_one, "a", "b"), node(add_one, "b", "c", name="other")])

        assert runner.run(nodes, catalog)["c"].load() == 3

    def test_memory_datasets_of_a_users_class_are_saved_and_loaded(self, runner: Any) -> None:
        """Its `save` is called once for each save of the node: it may count, append or encrypt."""
        catalog = DataCatalog({"a": 1, "middle": ListDataset(), "end": ListDataset()})
        nodes = pipeline([node(add_one, "a", "middle"), node(sum, "middle", "end", name="sum")])

        result = runner.run(nodes, catalog)

        assert result["end"].load() == [2]

    def test_subclasses_of_memory_dataset_are_saved_and_loaded(self, runner: Any) -> None:
        class Doubled(MemoryDataset):
            def save(self, data: int) -> None:
                super().save(2 * data)

        catalog = DataCatalog({"a": 1, "middle": Doubled(), "end": Doubled()})
        nodes = pipeline([node(add_one, "a", "middle"), node(add_one, "middle", "end", name="more")])

        result = runner.run(nodes, catalog)

        assert result["end"].load() == 10

    def test_later_changes_by_the_producer_do_not_reach_a_reader(self, runner: Any) -> None:
        """Functions keep references, for instance to a buffer that they reuse or to a list that they append to."""
        kept: list[int] = []

        def make() -> tuple[list[int], str]:
            kept.append(1)
            return kept, "made"

        def spoil(made: str) -> str:
            kept.append(2)
            return made

        nodes = pipeline(
            [
                node(make, None, ["numbers", "made"], name="make"),
                node(spoil, "made", "spoilt", name="spoil"),
                node(lambda numbers, spoilt: list(numbers), ["numbers", "spoilt"], "seen", name="read"),
            ]
        )

        result = runner.run(nodes, DataCatalog())

        assert result["seen"].load() == [1]

    def test_changes_by_one_reader_do_not_reach_the_next(self, runner: Any) -> None:
        """Two nodes read one value, one after the other: the second one gets it as it was produced."""

        def write(numbers: list[int]) -> str:
            numbers.append(2)
            return "written"

        nodes = pipeline(
            [
                node(lambda: [1], None, "numbers", name="make"),
                node(write, "numbers", "written", name="write"),
                node(lambda numbers, written: numbers, ["numbers", "written"], "seen", name="read"),
            ]
        )

        result = runner.run(nodes, DataCatalog())

        assert result["seen"].load() == [1]

    def test_changes_by_a_reader_do_not_reach_a_free_input(self, runner: Any) -> None:
        catalog = DataCatalog({"numbers": [1]})
        nodes = pipeline([node(lambda numbers: numbers.append(2), "numbers", None, name="write")])

        runner.run(nodes, catalog)

        assert catalog.load("numbers") == [1]

    def test_large_values_are_passed_completely_and_not_shared(self, runner: Any) -> None:
        """Schedulers move large values in another way than small ones."""
        size = 3_000_000

        def write(block: bytearray) -> str:
            block[:3] = b"xyz"
            return "written"

        nodes = pipeline(
            [
                node(lambda free: free + bytearray(size), "free", "block", name="make"),
                node(write, "block", "written", name="write"),
                node(
                    lambda block, free, written: (len(block), len(free), bytes(block[:3])),
                    ["block", "free", "written"],
                    "seen",
                    name="read",
                ),
            ]
        )

        result = runner.run(nodes, DataCatalog({"free": bytearray(size)}))

        assert result["seen"].load() == (2 * size, size, b"\0\0\0")
        assert len(result.producers) == 3
