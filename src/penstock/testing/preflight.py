"""Promises about what a runner sees before the first task: what it warns of, and what it takes as a catalog."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import DatasetError
from penstock.io import CachedDataset, DataCatalog, MemoryDataset, TextDataset
from penstock.pipeline import node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import Diary, add_one


class PreflightPromises(RunnerPromises):
    """What can be seen before the first task is said before it: the slow nodes of a run that fails are wasted."""

    def test_a_mapping_is_a_catalog(self, runner: Any) -> None:
        nodes = pipeline([node(add_one, "a", "b", name="add")])

        assert runner.run(nodes, {"a": 1})["b"].load() == 2
        assert runner.run_only_missing(nodes, {"a": MemoryDataset(2)})["b"].load() == 3
        assert "add" in str(runner.plan(nodes, {"a": 3}))

    def test_a_run_of_no_node_is_logged_as_a_warning(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner.run(pipeline([]), DataCatalog())
        runner.run_only_missing(pipeline([]), DataCatalog())

        assert warnings_of(runner, caplog) == ["The pipeline has no node: nothing runs"] * 2

    def test_missing_files_are_named_before_any_node_runs(
        self, runner: Any, tmp_path: Path, diary: Diary, caplog: pytest.LogCaptureFixture
    ) -> None:
        """All of them, with their paths: of free inputs only, since the run makes the others."""
        texts = {name: TextDataset(tmp_path / f"{name}.txt") for name in ("there", "lost", "gone", "made")}
        texts["there"].save("water")
        catalog = DataCatalog({**texts, "lost": CachedDataset(texts["lost"]), "unused": texts["gone"]})
        nodes = [
            node(diary.note_and_return, ["params:kind", "there"], "made", name="slow"),
            node(lambda *texts: texts, ["made", "lost", "gone"], "end", name="last"),
        ]
        catalog["params:kind"] = "call"

        with pytest.raises(DatasetError):
            runner.run(pipeline(nodes), catalog)

        (warning,) = [each for each in warnings_of(runner, caplog) if "Files" in each]
        assert warning == (
            "Files that the run will load are not on this machine: "
            f"gone ({tmp_path / 'gone.txt'}), lost ({tmp_path / 'lost.txt'})"
        )

    def test_an_output_with_nearly_the_name_of_an_unused_dataset_is_named(
        self, runner: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The report of the run was in memory, and gone with it."""
        catalog = DataCatalog({"a": 1, "report": TextDataset(tmp_path / "report.txt"), "b_north": 1})
        nodes = [
            node(str, "a", "reprot", name="misspelt"),
            node(add_one, "a", "b_south", name="sibling"),
        ]

        runner.run(pipeline(nodes), catalog)

        (warning,) = warnings_of(runner, caplog)
        assert warning == (
            "The output 'reprot' is read by no node, and the catalog does not have it. Did you mean 'report', "
            "which the catalog has and no node uses?"
        )

    def test_a_run_with_all_it_needs_warns_of_nothing(
        self, runner: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        catalog = DataCatalog({"a": 1, "report": TextDataset(tmp_path / "report.txt"), "old": 3})
        nodes = [node(str, "a", "report", name="write"), node(len, "report", "length", name="count")]

        runner.run(pipeline(nodes), catalog)

        assert warnings_of(runner, caplog) == []


def warnings_of(runner: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of the runner, in their order."""
    records = [each for each in caplog.records if each.name == type(runner).__module__]
    return [each.getMessage() for each in records if each.levelno == logging.WARNING]
