"""Promises about a run as a whole: its result, progress log, releases, skipped nodes, and parallel work."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any

import pytest

from penstock.io import DataCatalog, MemoryDataset
from penstock.pipeline import node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import Diary, DiaryDataset, add_one, fail


class Boxed:
    """A memory dataset that is no `MemoryDataset`; it counts its saves."""

    _EPHEMERAL = True

    def __init__(self) -> None:
        self.saves = 0
        self.data: Any = None

    def load(self) -> Any:
        """The data."""
        return self.data

    def save(self, data: Any) -> None:
        """Keep the data."""
        self.saves += 1
        self.data = data

    def exists(self) -> bool:
        """Whether there is data."""
        return self.data is not None

    def release(self) -> None:
        """Forget the data."""
        self.data = None


class ResultPromises(RunnerPromises):
    """The result of a run, and the state after it."""

    def test_the_result_has_the_producer_time_and_worker_of_each_output(
        self, runner: Any, diary: Diary
    ) -> None:
        def slow(b: int) -> tuple[int, int]:
            time.sleep(0.05)
            return b, b

        began = time.time()
        catalog = DataCatalog({"a": 1, "b": DiaryDataset("b", diary, save_seconds=0.05)})
        nodes = pipeline(
            [
                node(add_one, "a", "b", name="first"),
                node(slow, "b", ["c", "d"], name="second"),
            ]
        )

        result = runner.run(nodes, catalog)

        assert result.producers == {"b": "first", "c": "second", "d": "second"}
        assert [record.node for record in result.records] == ["first", "second"]
        first, second = result.records
        assert first.save_seconds >= 0.05
        assert second.call_seconds >= 0.05
        assert began - 1 <= first.start <= second.start <= time.time() + 1
        assert result.seconds >= 0.1
        assert first.worker
        assert result.run_id

    def test_each_run_has_a_new_id(self, runner: Any) -> None:
        nodes, catalog = pipeline([node(add_one, "a", "b")]), DataCatalog({"a": 1})

        ids = {runner.run(nodes, catalog).run_id for _ in range(2)}

        assert len(ids) == 2

    def test_finished_nodes_are_logged_and_counted(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        nodes = pipeline([node(add_one, "a", "b", name="first"), node(add_one, "b", "c", name="second")])

        with caplog.at_level(logging.INFO):
            runner.run(nodes, DataCatalog({"a": 1}))

        module = type(runner).__module__
        lines = [record.getMessage() for record in caplog.records if record.name == module]
        done = [line for line in lines if "Completed" in line]
        assert ["first" in done[0], "second" in done[1]] == [True, True]
        assert ["1 of 2" in done[0], "2 of 2" in done[1]] == [True, True]

    def test_a_finished_node_is_logged_while_the_run_goes_on(self, runner: Any, diary: Diary) -> None:
        """During a run of hours, users want to see its progress."""

        class Note(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if "Completed" in record.getMessage():
                    diary.note(record.getMessage())

        def wait(_: int) -> int:
            until = time.time() + 20
            while not any("first" in kind for kind in diary.kinds()) and time.time() < until:
                time.sleep(0.01)
            return len(diary.kinds())

        nodes = pipeline([node(add_one, "a", "b", name="first"), node(wait, "b", "c", name="second")])
        log, handler = logging.getLogger(type(runner).__module__), Note()
        log.addHandler(handler)
        before = log.level
        log.setLevel(logging.INFO)
        try:
            seen = runner.run(nodes, DataCatalog({"a": 1}))["c"].load()
        finally:
            log.removeHandler(handler)
            log.setLevel(before)

        assert seen == 1

    def test_a_failed_run_logs_where_to_resume(self, runner: Any, caplog: pytest.LogCaptureFixture) -> None:
        """Data in memory is lost then, so the hint names the nodes after the last stored dataset."""
        nodes = pipeline(
            [
                node(add_one, "a", "b", name="first"),
                node(add_one, "b", "c", name="second"),
                node(fail, "c", "d", name="third"),
            ]
        )

        with pytest.raises(ValueError, match="turbines"):
            runner.run(nodes, DataCatalog({"a": 1}))

        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert any('--from-nodes "first"' in text for text in warnings)

    def test_a_run_that_fails_in_its_first_node_logs_that_no_nodes_ran_to_their_end(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(ValueError, match="turbines"):
            runner.run(pipeline([node(fail, "a", "b", name="bad")]), DataCatalog({"a": 1}))

        texts = [record.getMessage() for record in caplog.records]
        assert "No nodes ran to their end (begun: bad): repeat the run as it was" in texts

    def test_a_run_whose_first_save_fails_logs_that_the_node_had_begun(
        self, runner: Any, diary: Diary, caplog: pytest.LogCaptureFixture
    ) -> None:
        catalog = DataCatalog({"a": 1, "b": DiaryDataset("b", diary, save_error=OSError("disk full"))})

        with pytest.raises(Exception, match="disk full"):
            runner.run(pipeline([node(add_one, "a", "b", name="first")]), catalog)

        texts = [record.getMessage() for record in caplog.records]
        assert "No nodes ran to their end (begun: first): repeat the run as it was" in texts

    # Release

    def test_datasets_are_released_after_their_last_reader(self, runner: Any, diary: Diary) -> None:
        """This frees memory of the driver; free inputs and outputs belong to the caller, and stay."""
        catalog = DataCatalog({name: DiaryDataset(name, diary) for name in "abcd"})
        catalog.save("a", 1)
        nodes = pipeline(
            [
                node(add_one, "a", "b", name="n1"),
                node(add_one, "b", "c", name="n2"),
                node(lambda b, c: b + c, ["b", "c"], "d", name="n3"),
            ]
        )

        runner.run(nodes, catalog)

        released = [kind for kind in diary.kinds() if kind.startswith("release")]
        assert sorted(released) == ["release b", "release c"]
        assert diary.kinds().index("release b") > diary.kinds().index("load c")

    def test_each_format_of_a_transcoded_dataset_is_released(self, runner: Any, diary: Diary) -> None:
        x_a, x_b = DiaryDataset("x@a", diary), DiaryDataset("x@b", diary)
        x_b.save(5)
        nodes = pipeline([node(lambda: 1, None, "x@a", name="write"), node(add_one, "x@b", "y", name="read")])

        runner.run(nodes, DataCatalog({"x@a": x_a, "x@b": x_b}))

        released = [kind for kind in diary.kinds() if kind.startswith("release")]
        assert sorted(released) == ["release x@a", "release x@b"]
        assert diary.kinds().index("release x@b") > diary.kinds().index("load x@b")

    def test_a_failed_node_releases_nothing(self, runner: Any, diary: Diary) -> None:
        catalog = DataCatalog({name: DiaryDataset(name, diary) for name in "ab"})
        catalog.save("a", 1)
        nodes = pipeline([node(add_one, "a", "b", name="good"), node(fail, "b", "c", name="bad")])

        with pytest.raises(ValueError, match="turbines"):
            runner.run(nodes, catalog)

        assert not [kind for kind in diary.kinds() if kind.startswith("release")]

    def test_an_error_in_a_release_reaches_the_caller(self, runner: Any, diary: Diary) -> None:
        class Stuck(DiaryDataset):
            def _release(self) -> None:
                raise LookupError("stuck")

        nodes = pipeline([node(add_one, "a", "b"), node(add_one, "b", "c")])

        with pytest.raises(Exception, match="stuck"):
            runner.run(nodes, DataCatalog({"a": 1, "b": Stuck("b", diary)}))

    # Results of several runs

    def test_the_result_of_a_run_stays_when_the_next_run_has_another(self, runner: Any) -> None:
        """A sweep over one catalog keeps its results in a list."""
        catalog, results = DataCatalog({"params:a": 0}), []
        nodes = pipeline(
            [node(lambda a: [10 * a], "params:a", "b", name="x"), node(lambda b: (b, b), "b", ["c", "d"])]
        )
        for a in (1, 2, 3):
            catalog["params:a"] = a
            results.append(runner.run(nodes, catalog))

        assert [result["c"].load() for result in results] == [[10], [20], [30]]
        assert catalog["c"].load() == [30]

    def test_the_dataset_of_the_catalog_is_the_same_object_after_each_run(self, runner: Any) -> None:
        catalog = DataCatalog({"a": 1, "b": MemoryDataset(metadata={"unit": "m"})})
        nodes = pipeline([node(add_one, "a", "b"), node(add_one, "a", "c", name="other")])
        given = catalog["b"]

        result = runner.run(nodes, catalog)
        made = catalog["c"]
        again = runner.run(nodes, catalog)
        again["b"].save(7)

        assert (catalog["b"] is given, catalog["c"] is made) == (True, True)
        assert [each["b"].load() for each in (result, again, catalog)] == [2, 7, 2]
        assert result["b"].metadata == {"unit": "m"}

    def test_each_of_several_runs_at_once_on_one_catalog_has_its_own_result(self, runner: Any) -> None:
        catalog, results = DataCatalog(), []
        nodes = pipeline([node(lambda: uuid.uuid4().hex, None, "b", name="x"), node(str.upper, "b", "c")])
        threads = [
            threading.Thread(target=lambda: results.append(runner.run(nodes, catalog))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len({result["c"].load() for result in results}) == 3

    def test_a_memory_dataset_of_ones_own_keeps_the_data_of_its_run(self, runner: Any) -> None:
        catalog, results = DataCatalog({"a": 0, "b": Boxed()}), []
        nodes = pipeline([node(add_one, "a", "b")])
        for a in (1, 2):
            catalog["a"] = a
            results.append(runner.run(nodes, catalog))

        assert [result["b"].load() for result in results] == [2, 3]
        assert catalog["b"].load() == 3

    def test_a_memory_dataset_of_ones_own_sees_its_saves(self, runner: Any) -> None:
        if self.leaves_process:
            pytest.skip("nodes save to a copy of it in their own process")
        boxed = Boxed()
        nodes = pipeline([node(add_one, "a", "b"), node(add_one, "b", "c")])

        result = runner.run(nodes, DataCatalog({"a": 1, "b": boxed}))

        assert (boxed.saves, result["c"].load()) == (1, 3)

    # Nodes that do not have to run

    def test_only_missing_outputs_skips_nodes_whose_outputs_are_stored(
        self, runner: Any, diary: Diary
    ) -> None:
        catalog = DataCatalog({"a": 1, "b": DiaryDataset("b", diary), "d": DiaryDataset("d", diary)})
        nodes = pipeline(
            [
                node(lambda a: diary.note_and_return("n1", a), "a", "b", name="n1"),
                node(lambda b: diary.note_and_return("n2", b), "b", "c", name="n2"),
                node(lambda c: diary.note_and_return("n3", c), "c", "d", name="n3"),
            ]
        )
        catalog.save("b", 10)

        result = runner.run(nodes, catalog, None, None, True)  # noqa: FBT003 - the contract: usable positionally

        assert [kind for kind in diary.kinds() if kind.startswith("n")] == ["n2", "n3"]
        assert result["d"].load() == 10

        again = runner.run(nodes, catalog, only_missing_outputs=True)

        assert [kind for kind in diary.kinds() if kind.startswith("n")] == ["n2", "n3"]
        assert (again["d"].load(), again.records) == (10, [])

    def test_a_result_has_all_outputs_that_exist_also_those_of_skipped_nodes(
        self, runner: Any, diary: Diary
    ) -> None:
        catalog = DataCatalog({"a": 1, "old": DiaryDataset("old", diary), "new": DiaryDataset("new", diary)})
        catalog.save("old", 10)
        nodes = pipeline([node(fail, "a", ["old", "kept"], name="n1"), node(add_one, "a", "new", name="n2")])

        result = runner.run(nodes, catalog, only_missing_outputs=True)

        assert {name: dataset.load() for name, dataset in result.items()} == {"new": 2, "old": 10}
        with pytest.raises(KeyError, match="kept is not in the result: no node of this run made it"):
            result["kept"]

    def test_run_only_missing_starts_from_data_in_memory(self, runner: Any, diary: Diary) -> None:
        """A notebook has put `clean` into the catalog, so the nodes that would produce it do not run."""
        catalog = DataCatalog({"raw": 1, "clean": MemoryDataset(5), "model": DiaryDataset("model", diary)})
        nodes = pipeline(
            [
                node(fail, "raw", "loaded", name="load"),
                node(fail, "loaded", "clean", name="clean"),
                node(add_one, "clean", "model", name="train"),
            ]
        )

        result = runner.run_only_missing(nodes, catalog)

        assert result["model"].load() == 6
        assert [record.node for record in result.records] == ["train"]

    # Parallel work

    def test_independent_nodes_run_at_the_same_time(self, runner: Any, diary: Diary) -> None:
        if not self.runs_nodes_at_once:
            pytest.skip("runs one node at a time")

        def meet(_: int, me: str, other: str) -> bool:
            """Wait until the other node has started, which never happens if it has to wait for the end of this one."""
            diary.note(me)
            until = time.time() + 20
            while other not in diary.kinds() and time.time() < until:
                time.sleep(0.01)
            return other in diary.kinds()

        nodes = pipeline(
            [
                node(lambda a: meet(a, "x", "y"), "a", "met_x", name="x"),
                node(lambda a: meet(a, "y", "x"), "a", "met_y", name="y"),
            ]
        )

        result = runner.run(nodes, DataCatalog({"a": 1}))

        assert [dataset.load() for dataset in result.values()] == [True, True]

    def test_two_runs_at_the_same_time_do_not_mix(self, runner: Any) -> None:
        """A web service or a notebook with threads uses one runner for all runs."""
        nodes = pipeline([node(add_one, "a", "b", name="x"), node(lambda b: b * 10, "b", "c", name="y")])
        found: dict[int, int] = {}

        def run(number: int) -> None:
            for _ in range(3):
                found[number] = runner.run(nodes, DataCatalog({"a": number}))["c"].load()

        threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert found == {0: 10, 1: 20, 2: 30}

    def test_a_long_chain_runs(self, runner: Any) -> None:
        """No recursion over the user's graph."""
        nodes = pipeline([node(add_one, f"d{k}", f"d{k + 1}", name=f"n{k}") for k in range(60)])

        assert runner.run(nodes, DataCatalog({"d0": 0}))["d60"].load() == 60

    def test_the_plan_shows_the_nodes_and_runs_none(self, runner: Any, diary: Diary) -> None:
        catalog = DataCatalog({"a": 1, "b": DiaryDataset("b", diary)})
        nodes = pipeline(
            [
                node(lambda a: diary.note("ran"), "a", "b", name="first"),
                node(add_one, "b", "c", name="second"),
            ]
        )

        text = str(runner.plan(nodes, catalog))

        assert "first" in text
        assert "second" in text
        assert diary.kinds() == []
        assert "c" not in catalog

    def test_its_repr_names_its_class(self, runner: Any) -> None:
        assert type(runner).__qualname__ in repr(runner)
