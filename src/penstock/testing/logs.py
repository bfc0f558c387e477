"""Promises about what nodes log and print: it reaches the driver completely, in order, and while the run goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from penstock.hooks import create_hook_manager, hook_impl
from penstock.io import CachedDataset, DataCatalog, MemoryDataset
from penstock.pipeline import Pipeline, node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import Diary, fail


class LogPromises(RunnerPromises):
    """The driver shows what nodes log and print."""

    def test_log_records_of_a_node_arrive_once_with_its_name_in_order(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Two runs, since a process or client that is used again must not repeat the records of an earlier run."""

        def train(_: int) -> None:
            log = logging.getLogger("turbines")
            log.warning("blade %d of %s", 3, "five")
            log.error("100 %")

        for _ in range(2):
            caplog.clear()
            with caplog.at_level(logging.INFO):
                runner.run(_one(train), DataCatalog({"a": 1}))

            records = [
                record for record in caplog.records if record.name in {"turbines", type(runner).__module__}
            ]
            texts = [record.getMessage() for record in records if getattr(record, "node", "")]
            assert texts == ["train: blade 3 of five", "train: 100 %"]
            assert {record.node for record in records if hasattr(record, "node")} == {"train"}
            assert [record.levelname for record in records if hasattr(record, "node")] == ["WARNING", "ERROR"]
            completed = next(i for i, record in enumerate(records) if "Completed" in record.getMessage())
            assert completed > max(i for i, record in enumerate(records) if hasattr(record, "node"))

    def test_a_record_that_names_the_node_gets_no_second_name(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        nodes = pipeline(
            [
                node(len, "text", "length", name="count"),
                node(fail, "length", "end", name="tripped"),
            ]
        )

        with caplog.at_level(logging.INFO), pytest.raises(ValueError, match="turbines"):
            runner.run(nodes, DataCatalog({"text": "abc"}))

        texts = [each.getMessage() for each in caplog.records if each.name == "penstock.pipeline.node"]
        assert "Running node: count: len([text]) -> [length]" in texts
        assert [text.partition(" failed")[0] for text in texts[-1:]] == [
            "Node tripped: fail([length]) -> [end]"
        ]

    def test_the_levels_of_the_driver_decide_what_a_node_logs(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def train(_: int) -> list[bool]:
            names = ["turbines", "turbines.loud.blade", "turbines.quiet"]
            for name in names:
                for level in (logging.DEBUG, logging.INFO, logging.WARNING):
                    logging.getLogger(name).log(level, "%s %d", name, level)
            return [logging.getLogger(name).isEnabledFor(logging.DEBUG) for name in names]

        caplog.set_level(logging.INFO)
        caplog.set_level(logging.WARNING, logger="turbines.quiet")
        caplog.set_level(logging.DEBUG, logger="turbines.loud")
        result = runner.run(_one(train), DataCatalog({"a": 1}))

        records = [record.getMessage() for record in caplog.records if record.name.startswith("turbines")]
        assert records == [
            "train: turbines 20",
            "train: turbines 30",
            "train: turbines.loud.blade 10",
            "train: turbines.loud.blade 20",
            "train: turbines.loud.blade 30",
            "train: turbines.quiet 30",
        ]
        assert result["b"].load() == [False, True, False]

    def test_a_logged_exception_arrives_with_its_traceback(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def train(_: int) -> None:
            try:
                fail()
            except ValueError:
                logging.getLogger("turbines").exception("given up")

        runner.run(_one(train), DataCatalog({"a": 1}))

        assert "train: given up\nTraceback (most recent call last):" in caplog.text
        assert caplog.text.count("ValueError: too many turbines") == 1

    def test_arguments_that_cannot_be_pickled_are_logged_as_text(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def train(_: int) -> None:
            lock = threading.Lock()
            logging.getLogger("turbines").warning("made %s", lock, extra={"thing": lock, "size": 3})

        runner.run(_one(train), DataCatalog({"a": 1}))

        (record,) = [record for record in caplog.records if record.name == "turbines"]
        assert record.getMessage().startswith("train: made <unlocked")
        assert vars(record)["size"] == 3
        assert "unlocked" in str(vars(record)["thing"])

    def test_prints_of_a_node_arrive_once(self, runner: Any, capsys: pytest.CaptureFixture[str]) -> None:
        def train(_: int) -> None:
            print("two", end=" ")  # noqa: T201
            print("words\nünd more")  # noqa: T201
            print("the end", end="")  # noqa: T201

        runner.run(_one(train), DataCatalog({"a": 1}))

        assert capsys.readouterr().out == "two words\nünd more\nthe end"

    def test_log_records_of_a_node_arrive_while_it_runs(self, runner: Any, diary: Diary) -> None:
        """A node that trains for an hour logs during that hour."""

        def train(_: int) -> bool:
            logging.getLogger("turbines").warning("started")
            until = time.time() + 20
            while not diary.kinds() and time.time() < until:
                time.sleep(0.01)
            return bool(diary.kinds())

        class Note(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                diary.note(record.getMessage())

        log, handler = logging.getLogger("turbines"), Note()
        log.addHandler(handler)
        try:
            seen = runner.run(_one(train), DataCatalog({"a": 1}))["b"].load()
        finally:
            log.removeHandler(handler)

        assert seen

    def test_log_records_of_a_failed_node_arrive_before_its_error(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def train(_: int) -> None:
            logging.getLogger("turbines").warning("about to fail")
            raise ValueError("too many turbines")

        with pytest.raises(ValueError, match="turbines"):
            runner.run(_one(train), DataCatalog({"a": 1}))

        records = [record.getMessage() for record in caplog.records if record.name == "turbines"]
        assert records == ["train: about to fail"]

    def test_after_a_run_logging_works_as_before(self, runner: Any, caplog: pytest.LogCaptureFixture) -> None:
        make = logging.Logger.makeRecord

        runner.run(_one(lambda a: a), DataCatalog({"a": 1}))
        logging.getLogger("turbines").warning("still here")

        assert logging.Logger.makeRecord is make
        assert caplog.records[-1].getMessage() == "still here"

    def test_attributes_that_a_node_sets_on_its_records_stay(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def train(_: int) -> None:
            logging.getLogger("turbines").warning("warm", extra={"node": "cn042"})
            logging.getLogger("turbines").warning({"rows": 3})

        runner.run(_one(train), DataCatalog({"a": 1}))

        first, second = [record for record in caplog.records if record.name == "turbines"]
        assert (first.getMessage(), vars(first)["node"]) == ("train: warm", "cn042")
        assert "rows" in second.getMessage()
        assert vars(second)["node"] == "train"

    def test_a_cached_dataset_does_not_tell_that_it_is_pickled(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Plugins keep the catalog, and are sent several times; its cached datasets lose nothing of the run."""
        catalog = DataCatalog({"a": CachedDataset(MemoryDataset(1))})
        catalog.load("a")

        runner.run(_one(lambda a: a), catalog, create_hook_manager([KeepsCatalog(catalog)]))

        assert "pickle" not in caplog.text


class KeepsCatalog:
    """A plugin as many are."""

    def __init__(self, catalog: Any) -> None:
        self.catalog = catalog

    @hook_impl
    def before_node_run(self) -> None:
        pass


def _one(function: Callable[[int], Any]) -> Pipeline:
    """A pipeline with one node `train`. Its output is the result of the function, or an empty list for None."""
    return pipeline([node(lambda a: function(a) or [], "a", "b", name="train")])
