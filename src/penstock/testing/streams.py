"""Promises about what generator functions yield: chunks that are saved one by one."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import DatasetError
from penstock.io import CachedDataset, DataCatalog, JSONDataset, PickleDataset, TextDataset
from penstock.pipeline import node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import Diary, DiaryDataset, ListDataset, add_one


class StreamPromises(RunnerPromises):
    """Chunks are saved one by one, never collected, and kept by the datasets that can keep them."""

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

    def test_a_chunk_is_freed_before_the_next_one_is_made(self, runner: Any, tmp_path: Path) -> None:
        """With chunks of a gigabyte it makes a difference."""
        self.skip_if_async()

        class Chunk(str):
            __slots__ = ("__weakref__",)

        def stream() -> Iterator[str]:
            chunks: list[weakref.ref[Chunk]] = []
            for number in range(3):
                chunk = Chunk(number)
                chunks.append(weakref.ref(chunk))
                yield chunk
                del chunk
                assert chunks[-1]() is None

        catalog = DataCatalog({"text": TextDataset(tmp_path / "text.txt")})

        runner.run(pipeline([node(stream, None, "text", name="stream")]), catalog)

        assert catalog.load("text") == "012"
