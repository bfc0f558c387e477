"""Promises about stored datasets: what is saved, when, and what a reader loads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import DatasetError
from penstock.io import CachedDataset, DataCatalog, MemoryDataset, TextDataset
from penstock.pipeline import node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import Diary, DiaryDataset, add_one


class Inbox(TextDataset):
    """Lines of a file. A confirmation writes the lines that were loaded last to a second file: they need not be read again."""

    def load(self) -> Any:
        """The lines."""
        self.seen = super().load().splitlines()
        return list(self.seen)

    def confirm(self) -> None:
        """Write down what was seen."""
        self.done.write_text(repr(getattr(self, "seen", None)))

    @property
    def done(self) -> Path:
        """The second file."""
        return Path(str(self.filepath)).with_suffix(".done")


class StorePromises(RunnerPromises):
    """A reader gets the data as the store returns it."""

    # Confirmations

    @pytest.fixture
    def inbox(self, tmp_path: Path) -> Inbox:
        """An inbox with two lines."""
        inbox = Inbox(str(tmp_path / "inbox.txt"))
        inbox.save("f1\nf2\n")
        return inbox

    @pytest.mark.parametrize("confirming", ["reader", "next"])
    def test_what_was_loaded_is_confirmed_and_nothing_that_came_later(
        self, runner: Any, inbox: Inbox, confirming: str
    ) -> None:
        """A file that appears while the node works is read by the next run."""
        path = Path(str(inbox.filepath))

        def read(lines: list[str]) -> list[str]:
            path.write_text("f1\nf2\nf9\n")
            return lines

        nodes = pipeline(
            [
                node(
                    read,
                    "inbox",
                    "lines",
                    name="reader",
                    confirms="inbox" if confirming == "reader" else None,
                ),
                node(len, "lines", "count", name="next", confirms="inbox" if confirming == "next" else None),
            ]
        )

        runner.run(nodes, DataCatalog({"inbox": inbox}))

        assert inbox.done.read_text() == "['f1', 'f2']"

    def test_a_generator_confirms_what_was_loaded(self, runner: Any, inbox: Inbox) -> None:
        self.skip_if_async()

        def read(lines: list[str]) -> Iterator[list[str]]:
            yield lines

        nodes = pipeline([node(read, "inbox", "lines", name="reader", confirms="inbox")])

        result = runner.run(nodes, DataCatalog({"inbox": inbox}))

        assert (result["lines"].load(), inbox.done.read_text()) == (["f1", "f2"], "['f1', 'f2']")

    # Loads and saves

    def test_a_stored_intermediate_is_loaded_from_the_store(self, runner: Any, tmp_path: Path) -> None:
        """The next node gets the loaded data, not the object that the node returned: a CSV loses dtypes."""

        class Stripped(TextDataset):
            def load(self) -> Any:
                return super().load().strip()

        catalog = DataCatalog({"text": Stripped(str(tmp_path / "text.txt"))})
        nodes = pipeline(
            [
                node(lambda: "  water  ", None, "text", name="write"),
                node(lambda text: [text], "text", "seen", name="read"),
            ]
        )

        result = runner.run(nodes, catalog)

        assert result["seen"].load() == ["water"]

    def test_each_reader_loads_a_stored_dataset_separately(self, runner: Any, tmp_path: Path) -> None:
        """Two nodes that shared an iterator or an open file would each get a part of the data."""

        class Lines(TextDataset):
            def load(self) -> Any:
                return iter(super().load().splitlines())

        Lines(str(tmp_path / "lines.txt")).save("a\nb\nc")
        catalog = DataCatalog({"lines": Lines(str(tmp_path / "lines.txt"))})
        nodes = pipeline([node(list, "lines", name, name=name) for name in ("x", "y")])

        result = runner.run(nodes, catalog)

        assert [dataset.load() for dataset in result.values()] == [["a", "b", "c"]] * 2

    def test_a_transcoded_dataset_is_saved_in_one_format_and_loaded_in_another(
        self, runner: Any, tmp_path: Path
    ) -> None:
        class Shouted(TextDataset):
            def load(self) -> Any:
                return super().load().upper()

        path = str(tmp_path / "text.txt")
        catalog = DataCatalog({"text@plain": TextDataset(path), "text@loud": Shouted(path)})
        nodes = pipeline(
            [
                node(lambda: "water", None, "text@plain", name="write"),
                node(lambda text: text + "!", "text@loud", "seen", name="read"),
            ]
        )

        result = runner.run(nodes, catalog)

        assert result["seen"].load() == "WATER!"

    def test_a_node_starts_after_all_saves_of_its_parents(self, runner: Any, diary: Diary) -> None:
        """A node may read a file of a parent that is not among its inputs."""
        catalog = DataCatalog({"stored": DiaryDataset("stored", diary, save_seconds=0.2)})
        nodes = pipeline(
            [
                node(lambda: (1, 2), None, ["kept", "stored"], name="parent"),
                node(lambda kept: diary.note_and_return("child", kept), "kept", "end", name="child"),
            ]
        )

        runner.run(nodes, catalog)

        assert diary.kinds() == ["save stored", "saved stored", "child"]

    @pytest.mark.parametrize("failing", ["a", "b", "c"])
    def test_the_error_of_a_save_ends_the_run_whatever_else_its_node_saves(
        self, runner: Any, diary: Diary, failing: str
    ) -> None:
        """Saves that wait for the one that failed are not done, and say nothing."""
        full = OSError("the disk is full")
        catalog = DataCatalog(
            {name: DiaryDataset(name, diary, save_error=full if name == failing else None) for name in "abc"}
        )
        nodes = pipeline([node(lambda: (1, 2, 3), None, ["a", "b", "c"], name="make")])

        with pytest.raises(DatasetError, match="the disk is full"):
            runner.run(nodes, catalog)

    def test_a_node_starts_after_the_producer_of_another_format_of_its_input(
        self, runner: Any, diary: Diary
    ) -> None:
        """The nodes run in this order even though the data is not passed from one to the other."""
        stored = DiaryDataset("x@file", diary)
        stored.save("old")
        catalog = DataCatalog({"x@memory": MemoryDataset(), "x@file": stored})

        def parent() -> str:
            stored.save("new")
            return "new"

        nodes = pipeline(
            [node(parent, None, "x@memory", name="parent"), node(str.upper, "x@file", "seen", name="child")]
        )

        result = runner.run(nodes, catalog)

        assert result["seen"].load() == "NEW"

    def test_a_cached_dataset_is_loaded_once_for_all_its_readers(self, runner: Any, diary: Diary) -> None:
        source = DiaryDataset("source", diary)
        source.save([1])
        catalog = DataCatalog({"source": CachedDataset(source)})
        nodes = pipeline(
            [node(lambda source: source, "source", f"out_{number}", name=f"n{number}") for number in range(4)]
        )

        result = runner.run(nodes, catalog)

        assert [dataset.load() for dataset in result.values()] == [[1]] * 4
        assert diary.kinds().count("load source") == 1

    def test_a_cached_output_of_a_second_run_is_the_new_one(self, runner: Any, diary: Diary) -> None:
        """The driver's cache of the first run must not hide data that a worker has saved since then."""
        catalog = DataCatalog({"a": 1, "b": CachedDataset(DiaryDataset("b", diary))})
        nodes = pipeline([node(add_one, "a", "b")])
        first = runner.run(nodes, catalog)["b"].load()
        catalog["a"].save(10)

        second = runner.run(nodes, catalog)["b"].load()

        assert (first, second) == (2, 11)

    def test_a_cached_intermediate_is_written_through(self, runner: Any, diary: Diary) -> None:
        stored = DiaryDataset("b", diary)
        catalog = DataCatalog({"a": 1, "b": CachedDataset(stored)})
        nodes = pipeline([node(add_one, "a", "b"), node(add_one, "b", "c")])

        result = runner.run(nodes, catalog)

        assert (stored.load(), result["c"].load()) == (2, 3)

    def test_a_list_that_a_function_returns_is_saved_by_one_call(self, runner: Any, diary: Diary) -> None:
        catalog = DataCatalog({"x": DiaryDataset("x", diary)})

        runner.run(pipeline([node(lambda: [1, 2, 3], None, "x", name="make")]), catalog)

        assert catalog.load("x") == [1, 2, 3]
        assert diary.kinds().count("save x") == 1
