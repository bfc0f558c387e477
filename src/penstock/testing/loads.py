"""Promises about loaded values that cannot be sent to another process: open files, readers, cursors, lazy tables, generators."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from penstock.hooks import create_hook_manager
from penstock.io import CachedDataset, DataCatalog, TextDataset
from penstock.pipeline import node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import Diary, Recorder, refuse


class Lines(TextDataset):
    """Its load gives the open file."""

    def load(self) -> Any:
        """The file, open to be read."""
        return Path(self.filepath).open(encoding="utf-8")


class Chunks(TextDataset):
    """Its load gives a generator."""

    def load(self) -> Any:
        """The lines, one after the other."""
        yield from Path(self.filepath).read_text(encoding="utf-8").splitlines(keepends=True)


class HomeOnly:
    """A value that can be pickled, but not unpickled in another process: a query that needs the connection it was made with."""

    def __init__(self, lines: list[str]) -> None:
        self.process = os.getpid()
        self.lines = lines

    def __iter__(self) -> Any:
        return iter(self.lines)

    def __reduce__(self) -> Any:
        return refuse, ()


class Queries(TextDataset):
    """Its load gives a value that cannot be unpickled elsewhere."""

    def load(self) -> Any:
        """The query."""
        return HomeOnly(Path(self.filepath).read_text(encoding="utf-8").splitlines(keepends=True))


class Connection:
    """A value that cannot be pickled, and that can be copied."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __deepcopy__(self, memo: Any) -> Connection:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a connection stays where it is")


class Connections(TextDataset):
    """Notes each load of a connection."""

    def __init__(self, path: str, diary: Diary) -> None:
        super().__init__(path)
        self.diary = diary

    def load(self) -> Connection:
        """A connection."""
        self.diary.note("connect")
        return Connection(7)


class Rows(TextDataset):
    """Its load gives a list."""

    def load(self) -> Any:
        """A list of one row."""
        return ["row"]


class Pool(list[str]):
    """A list that cannot be pickled, and that can be copied."""

    def __deepcopy__(self, memo: Any) -> Pool:
        return Pool(self)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a pool stays where it is")


class Pools(Rows):
    """Its load gives a list that cannot be pickled."""

    def load(self) -> Any:
        """A list of one row."""
        return Pool(["row"])


def _use(rows: list[str]) -> int:
    rows.append("mine")
    return len(rows)


def read_all(lines: Any) -> list[str]:
    """All lines; an open file is closed."""
    with contextlib.ExitStack() as stack:
        if hasattr(lines, "close"):
            stack.callback(lines.close)
        return list(lines)


class LoadPromises(RunnerPromises):
    """What a node reads is loaded where the node can use it."""

    @pytest.mark.parametrize("kind", [Lines, Chunks, Queries])
    def test_many_nodes_read_what_cannot_be_sent(self, runner: Any, tmp_path: Path, kind: Any) -> None:
        datasets = {}
        for name in ("north", "south"):
            dataset = datasets[name] = kind(str(tmp_path / name))
            dataset.save(f"{name}\nend\n")
        nodes = [
            node(lambda *files: [*map(read_all, files)], [*datasets], f"read_{k}", name=f"n{k}")
            for k in range(12)
        ]

        result = runner.run(pipeline(nodes), DataCatalog(datasets))

        assert [each.load() for each in result.values()] == [
            [["north\n", "end\n"], ["south\n", "end\n"]]
        ] * 12

    @pytest.mark.parametrize("kind", [Lines, Queries, TextDataset])
    def test_the_hooks_of_a_load_fire_once_round_the_load_that_is_used(
        self, runner: Any, tmp_path: Path, diary: Diary, kind: Any
    ) -> None:
        dataset = kind(str(tmp_path / "lines.txt"))
        dataset.save("one\n")
        nodes = pipeline([node(read_all, "lines", f"from_{name}", name=name) for name in ("x", "y", "z")])

        runner.run(nodes, DataCatalog({"lines": dataset}), create_hook_manager([Recorder(diary)]))

        hooks = ("before_dataset_loaded", "after_dataset_loaded", "before_node_run")
        for name in ("x", "y", "z"):
            assert [each["kind"] for each in diary.notes(*hooks) if each["node"] == name] == [*hooks]

    def test_a_cached_dataset_that_cannot_be_sent_is_loaded_once_by_each_process(
        self, runner: Any, tmp_path: Path, diary: Diary
    ) -> None:
        cached = CachedDataset(Connections(str(tmp_path / "unused"), diary))
        nodes = [
            node(
                lambda connection: diary.note_and_return("used", connection.number),
                "db",
                f"n{k}",
                name=f"n{k}",
            )
            for k in range(6)
        ]

        result = runner.run(pipeline(nodes), DataCatalog({"db": cached}))

        processes = {each["process"] for each in diary.notes("used")}
        assert [each.load() for each in result.values()] == [7] * 6
        # One more where the load is a task by itself.
        assert len(diary.notes("connect")) <= len(processes) + self.leaves_process

    @pytest.mark.parametrize("kind", ["list", "connection"])
    def test_readers_of_a_cached_dataset_do_not_see_what_the_others_do_to_it(
        self, runner: Any, tmp_path: Path, kind: str
    ) -> None:
        dataset = (Rows if kind == "list" else Pools)(str(tmp_path / "unused"))
        nodes = [node(_use, "rows", f"n{k}", name=f"n{k}") for k in range(6)]

        result = runner.run(pipeline(nodes), DataCatalog({"rows": CachedDataset(dataset)}))

        assert [each.load() for each in result.values()] == [2] * 6

    def test_retries_get_a_fresh_load(self, runner: Any, tmp_path: Path, diary: Diary) -> None:
        dataset = Lines(str(tmp_path / "lines.txt"))
        dataset.save("one\ntwo\n")

        def read(lines: Any) -> list[str]:
            found = read_all(lines)
            diary.note("attempt")
            if len(diary.notes("attempt")) == 1:
                raise OSError("not yet")
            return found

        nodes = pipeline([node(read, "lines", "found", name="read")])

        result = runner.run(nodes, DataCatalog({"lines": dataset}), policies={"read": {"retries": 1}})

        assert result["found"].load() == ["one\n", "two\n"]
