"""Promises about stored datasets: what is saved, when, and what a reader loads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import DatasetError
from penstock.io import CachedDataset, DataCatalog, JSONDataset, MemoryDataset, PickleDataset, TextDataset
from penstock.pipeline import node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import Diary, DiaryDataset, ListDataset, add_one


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

    # Streams

    def test_a_generator_is_saved_chunk_by_chunk(self, runner: Any, diary: Diary) -> None:
        """A stream can be larger than memory: it is never collected."""
        self.skip_if_async()
        catalog = DataCatalog({"x": DiaryDataset("x", diary), "y": DiaryDataset("y", diary)})

        def stream() -> Iterator[tuple[int, int]]:
            for number in range(2):
                diary.note(f"yield {number}")
                yield number, -number

        runner.run(pipeline([node(stream, None, ["x", "y"], name="stream")]), catalog)

        chunk = ["save x", "saved x", "save y", "saved y"]
        assert diary.kinds() == ["yield 0", *chunk, "yield 1", *chunk]

    def test_memory_keeps_the_last_chunk_of_a_generator(self, runner: Any) -> None:
        self.skip_if_async()

        def stream() -> Iterator[int]:
            yield from (1, 2, 3)

        nodes = pipeline([node(stream, None, "last", name="stream"), node(add_one, "last", "seen")])

        assert runner.run(nodes, DataCatalog())["seen"].load() == 4

    def test_a_dataset_of_a_users_class_gets_every_chunk(self, runner: Any) -> None:
        self.skip_if_async()

        def stream() -> Iterator[int]:
            yield from (1, 2, 3)

        nodes = pipeline([node(stream, None, "all", name="stream"), node(sum, "all", "seen")])

        assert runner.run(nodes, DataCatalog({"all": ListDataset()}))["seen"].load() == 6

    def test_a_generator_that_yields_nothing_leaves_memory_empty(self, runner: Any) -> None:
        """No data was saved, so its reader gets an error and not None."""
        self.skip_if_async()

        def stream() -> Iterator[int]:
            yield from ()

        nodes = pipeline([node(stream, None, "none", name="stream"), node(str, "none", "seen", name="read")])

        with pytest.raises(DatasetError, match="none"):
            runner.run(nodes, DataCatalog())

    def test_a_list_that_a_function_returns_is_saved_by_one_call(self, runner: Any, diary: Diary) -> None:
        catalog = DataCatalog({"x": DiaryDataset("x", diary)})

        runner.run(pipeline([node(lambda: [1, 2, 3], None, "x", name="make")]), catalog)

        assert catalog.load("x") == [1, 2, 3]
        assert diary.kinds().count("save x") == 1

    @pytest.mark.parametrize("cached", [False, True])
    def test_a_file_holds_all_chunks_of_a_generator(self, runner: Any, tmp_path: Path, cached: bool) -> None:
        """Several outputs are saved in turn, and the reader gets all chunks, also through a cache."""
        self.skip_if_async()
        text: Any = TextDataset(tmp_path / "text.txt")
        lines: Any = JSONDataset(tmp_path / "lines.jsonl", lines=True)
        if cached:
            text, lines = CachedDataset(text), CachedDataset(lines)
        catalog = DataCatalog({"text": text, "lines": lines})

        def stream() -> Iterator[tuple[str, list[int]]]:
            yield from (("a", [1]), ("b", [2, 3]), ("c", []))

        nodes = pipeline(
            [
                node(stream, None, ["text", "lines"], name="stream"),
                node(lambda text, lines: (text, lines), ["text", "lines"], "seen", name="read"),
            ]
        )

        result = runner.run(nodes, catalog)

        assert result["seen"].load() == ("abc", [1, 2, 3])
        assert (tmp_path / "text.txt").read_text() == "abc"
        assert (catalog.load("text"), catalog.load("lines")) == ("abc", [1, 2, 3])

    def test_a_stream_that_fails_leaves_the_old_files(self, runner: Any, tmp_path: Path) -> None:
        self.skip_if_async()
        catalog = DataCatalog({name: TextDataset(tmp_path / name) for name in ("x", "y")})
        catalog.save("x", "old")

        def stream() -> Iterator[tuple[str, str]]:
            yield "a", "b"
            raise ValueError("turbines")

        with pytest.raises(ValueError, match="turbines"):
            runner.run(pipeline([node(stream, None, ["x", "y"], name="stream")]), catalog)

        assert catalog.load("x") == "old"
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x"]

    def test_a_chunk_that_cannot_be_saved_is_an_error_with_the_name_of_the_dataset(
        self, runner: Any, tmp_path: Path
    ) -> None:
        self.skip_if_async()

        def stream() -> Iterator[Any]:
            yield from ("a", 2)

        with pytest.raises(DatasetError, match=r"^text: Cannot save .* not a int"):
            runner.run(
                pipeline([node(stream, None, "text", name="stream")]),
                DataCatalog({"text": TextDataset(tmp_path / "text.txt")}),
            )

        assert not (tmp_path / "text.txt").exists()

    def test_a_warning_says_how_many_chunks_were_replaced(
        self, runner: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.skip_if_async()

        def stream() -> Iterator[tuple[int, ...]]:
            yield from ((1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3))

        catalog = DataCatalog({"pickle": PickleDataset(tmp_path / "a"), "json": JSONDataset(tmp_path / "b")})
        catalog["own"] = ListDataset()
        outputs = ["memory", "pickle", "json", "own"]

        runner.run(pipeline([node(stream, None, outputs, name="stream")]), catalog)

        messages = [record.getMessage() for record in caplog.records]
        texts = sorted(text.removeprefix("stream: ") for text in messages if "chunks" in text)
        replaced = "got 3 chunks: only the last one is left, the 2 before it were replaced"
        assert texts == [
            f"Dataset 'json' {replaced}",
            f"Dataset 'memory' {replaced}",
            "Dataset 'own' got 3 chunks: unless its save appends, the last one has replaced the 2 before it",
            f"Dataset 'pickle' {replaced}",
        ]
        assert catalog.load("pickle") == 3

    def test_one_chunk_needs_no_warning(self, runner: Any, caplog: pytest.LogCaptureFixture) -> None:
        self.skip_if_async()

        def stream() -> Iterator[int]:
            yield 1

        runner.run(pipeline([node(stream, None, "memory", name="stream")]), DataCatalog())

        assert "chunks" not in caplog.text

    def test_a_dataset_of_a_users_class_can_join_chunks(
        self, runner: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A method `open_stream` is all that it takes."""
        self.skip_if_async()

        class Joined(PickleDataset):
            @contextmanager
            def open_stream(self) -> Iterator[Any]:
                stream = ListDataset()
                yield stream
                self.save(stream.load())

        def stream() -> Iterator[int]:
            yield from (1, 2, 3)

        catalog = DataCatalog({"all": Joined(tmp_path / "all")})
        nodes = pipeline([node(stream, None, "all", name="stream"), node(sum, "all", "seen")])

        assert runner.run(nodes, catalog)["seen"].load() == 6
        assert "chunks" not in caplog.text
