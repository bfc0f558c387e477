"""Promises about errors: they reach the caller unchanged, say where they were raised, and end the run."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import CannotSendError, DatasetError, DatasetNotFoundError, MissingInputError, NodeError
from penstock.hooks import create_hook_manager, hook_impl
from penstock.io import DataCatalog, MemoryDataset, PickleDataset
from penstock.pipeline import node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import CountsUp, Diary, DiaryDataset, add_one, fail, refuse


def _shown(error: BaseException) -> list[tuple[str, str | None, str]]:
    """What a traceback shows: the functions, their lines and files."""
    return [(each.name, each.line, each.filename) for each in traceback.extract_tb(error.__traceback__)]


class ErrorPromises(RunnerPromises):
    """An error from another machine shows as much as an error from this process."""

    def test_an_error_of_a_node_reaches_the_caller_with_its_type_and_text(self, runner: Any) -> None:
        nodes = pipeline([node(fail, "a", "b", name="bad")])

        with pytest.raises(ValueError, match="too many turbines") as caught:
            runner.run(nodes, DataCatalog({"a": 1}))

        assert type(caught.value) is ValueError
        assert str(caught.value) == "too many turbines"

    def test_notes_name_the_node_its_inputs_and_the_function(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The traceback of a lambda in a large pipeline does not show the node or its inputs."""
        nodes = pipeline([node(fail, ["a", "c"], "b", name="bad")])

        with pytest.raises(ValueError, match="turbines") as caught:
            runner.run(nodes, DataCatalog({"a": 1, "c": 2}))

        notes = "\n".join(notes_of(caught.value))
        assert "'bad'" in notes
        assert "a, c" in notes
        assert "in fail" in notes + "".join(traceback.format_tb(caught.value.__traceback__))
        # Python 3.10 does not print notes.
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert (notes in errors) == (sys.version_info < (3, 11))

    def test_the_traceback_shows_the_users_frames_and_one_of_run(self, runner: Any) -> None:
        """Two of a hundred lines were the user's, and in another process they came without their source."""

        def divide(a: int) -> float:
            return a / 0

        def explain(a: int) -> None:
            try:
                divide(a)
            except ZeroDivisionError as error:
                raise RuntimeError("no turbine") from error

        with pytest.raises(RuntimeError, match="no turbine") as caught:
            runner.run(pipeline([node(explain, "a", "b", name="bad")]), DataCatalog({"a": 1}))

        assert caught.value.__cause__ is not None
        frames, above = map(_shown, (caught.value, caught.value.__cause__))
        assert [name for name, _, _ in frames[1:]] == ["run", "explain"]
        assert frames[-1] == ("explain", 'raise RuntimeError("no turbine") from error', __file__)
        assert above == [("explain", "divide(a)", __file__), ("divide", "return a / 0", __file__)]

    def test_the_logger_at_debug_shows_all_frames(
        self, runner: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("DEBUG", "penstock"), pytest.raises(ValueError, match="turbines") as caught:
            runner.run(pipeline([node(fail, "a", "b", name="bad")]), DataCatalog({"a": 1}))

        assert "_run" in [name for name, _, _ in _shown(caught.value)]

    def test_an_exception_that_makes_its_own_text_reaches_the_caller(self, runner: Any) -> None:
        """Ordinary unpickling would raise a `TypeError` about a missing argument."""

        def count() -> None:
            raise CountsUp("Ann", 3)

        with pytest.raises(CountsUp, match="Ann counted to 3") as caught:
            runner.run(pipeline([node(count, None, "b", name="bad")]), DataCatalog())

        assert str(caught.value) == "Ann counted to 3"
        assert caught.value.count == 3

    def test_an_exception_that_cannot_be_pickled_reaches_the_caller_as_text(self, runner: Any) -> None:
        class Locked(Exception):  # noqa: N818
            def __init__(self, text: str) -> None:
                super().__init__(text)
                self.lock = threading.Lock()

        def lock() -> None:
            raise Locked("in the lock chamber")

        with pytest.raises(
            NodeError if self.leaves_process else Locked, match="in the lock chamber"
        ) as caught:
            runner.run(pipeline([node(lock, None, "b", name="bad")]), DataCatalog())

        assert type(caught.value).__name__ == ("NodeError" if self.leaves_process else "Locked")
        if self.leaves_process:
            assert "'bad'" in str(caught.value)
            assert "in lock\n" in str(caught.value)

    def test_a_very_long_error_reaches_the_caller_without_cuts(self, runner: Any) -> None:
        """Schedulers cut long texts; a validation report of a wide table has many lines."""
        text = "x" * 50_000

        def report() -> None:
            raise LookupError(text)

        with pytest.raises(LookupError) as caught:
            runner.run(pipeline([node(report, None, "b", name="bad")]), DataCatalog())

        assert caught.value.args == (text,)

    def test_the_cause_of_an_error_reaches_the_caller(self, runner: Any) -> None:
        def chain() -> None:
            try:
                int("water")
            except ValueError as error:
                raise RuntimeError("no power") from error

        with pytest.raises(RuntimeError, match="no power") as caught:
            runner.run(pipeline([node(chain, None, "b", name="bad")]), DataCatalog())

        assert isinstance(caught.value.__cause__, ValueError)
        assert "'water'" in str(caught.value.__cause__)

    @pytest.mark.parametrize("exit_error", [SystemExit, KeyboardInterrupt])
    def test_a_node_that_exits_ends_the_run_and_not_the_worker(
        self, runner: Any, exit_error: type[BaseException]
    ) -> None:
        """Functions for the command line call `sys.exit`; on a cluster other runs use the same worker."""

        def leave() -> None:
            raise exit_error(3)

        nodes = pipeline([node(leave, None, "b", name="bad")])

        with pytest.raises(exit_error) as caught:
            runner.run(nodes, DataCatalog())

        assert caught.value.args == (3,)
        assert "'bad'" in "\n".join(notes_of(caught.value))

    @pytest.mark.parametrize("work", ["load", "save"])
    def test_a_dataset_that_fails_is_named(self, runner: Any, diary: Diary, work: str) -> None:
        error = OSError("disk on fire")
        catalog = DataCatalog(
            {
                "a": DiaryDataset("a", diary, load_error=error if work == "load" else None),
                "b": DiaryDataset("b", diary, save_error=error if work == "save" else None),
            }
        )
        catalog.save("a", 1)

        with pytest.raises(DatasetError, match="disk on fire") as caught:
            runner.run(pipeline([node(add_one, "a", "b", name="add")]), catalog)

        assert str(caught.value).startswith("a: " if work == "load" else "b: ")
        assert "'add'" in "\n".join(notes_of(caught.value))
        assert isinstance(caught.value.__cause__, DatasetError | OSError)

    def test_no_work_continues_after_a_run_has_failed(self, runner: Any, diary: Diary) -> None:
        """If files changed after the error message, users would take partial results for complete ones."""

        def slow() -> int:
            diary.note("slow begins")
            time.sleep(0.3)
            diary.note("slow ends")
            return 1

        def bad() -> None:
            time.sleep(0.1)
            raise ValueError("too many turbines")

        nodes = pipeline(
            [
                node(bad, None, "never", name="bad"),
                node(slow, None, "stored", name="slow"),
                node(lambda never: diary.note("after bad"), "never", None, name="after"),
                *[
                    node(
                        lambda x, number=number: diary.note(f"later {number}"),
                        "stored",
                        None,
                        name=f"l{number}",
                    )
                    for number in range(3)
                ],
            ]
        )
        catalog = DataCatalog({"stored": DiaryDataset("stored", diary, save_seconds=0.3)})

        with pytest.raises(ValueError, match="too many turbines"):
            runner.run(nodes, catalog)

        at_once = diary.kinds()
        time.sleep(0.7)
        assert diary.kinds() == at_once
        assert at_once.count("slow begins") == at_once.count("slow ends")
        assert at_once.count("save stored") == at_once.count("saved stored")
        assert "after bad" not in at_once

    def test_a_runner_runs_again_after_an_error(self, runner: Any) -> None:
        catalog = DataCatalog({"a": 1})
        with pytest.raises(ValueError, match="turbines"):
            runner.run(pipeline([node(fail, "a", "b", name="bad")]), catalog)

        result = runner.run(pipeline([node(add_one, "a", "b", name="good")]), catalog)

        assert result["b"].load() == 2

    # Errors before any node runs

    def test_all_missing_inputs_are_named_before_any_node_runs(self, runner: Any, diary: Diary) -> None:
        nodes = pipeline(
            [
                node(lambda: diary.note_and_return("ran", 1), None, "one", name="first"),
                node(lambda x, y: x, ["companies", "params:rate"], "z", name="join"),
            ]
        )
        catalog = DataCatalog({"company": 1})

        with pytest.raises(MissingInputError, match=r"'companies', 'params:rate'.*DataCatalog") as caught:
            runner.run(nodes, catalog)

        assert isinstance(caught.value, ValueError)
        assert "company" in str(caught.value)
        assert diary.kinds() == []

    def test_datasets_that_cannot_be_confirmed_are_named_before_any_node_runs(
        self, runner: Any, diary: Diary
    ) -> None:
        """Otherwise a long node would run and save before the error."""

        def make() -> int:
            return int(diary.note_and_return("ran", 1))

        nodes = pipeline([node(make, None, "a", name="make", confirms=["unknown", "a"])])

        with pytest.raises(
            DatasetError, match=r"'unknown' of node 'make'.*'a' of node 'make'.*MemoryDataset"
        ):
            runner.run(nodes, DataCatalog())

        assert diary.kinds() == []

    def test_a_dataset_to_confirm_that_the_catalog_lacks_is_an_error(self, runner: Any) -> None:
        nodes = pipeline([node(lambda: 1, None, "a", name="make", confirms="unknown")])

        with pytest.raises(DatasetNotFoundError, match="unknown"):
            runner.run(nodes, DataCatalog())

    def test_confirmation_comes_after_all_outputs_are_saved(self, runner: Any, diary: Diary) -> None:
        """It marks a batch as done: a batch that is confirmed before its results are stored is lost in a crash."""
        names = ("out", "batch")
        catalog = DataCatalog({name: DiaryDataset(name, diary, save_seconds=0.1) for name in names})
        nodes = pipeline([node(lambda: 1, None, "out", name="make", confirms=["batch", "out"])])

        runner.run(nodes, catalog)

        assert diary.kinds() == ["save out", "saved out", "confirm batch", "confirm out"]

    def test_generator_functions_are_refused_with_is_async(self, runner: Any, diary: Diary) -> None:
        if not self.is_async:
            pytest.skip("only where is_async is set")
        a = DiaryDataset("a", diary)
        nodes = pipeline([node(lambda a: (yield a), "a", "b", name="stream")])

        with pytest.raises(ValueError, match="stream"):
            runner.run(nodes, DataCatalog({"a": a}))

        assert diary.kinds() == []

    def test_all_objects_that_cannot_be_sent_are_named_with_the_reason(
        self, runner: Any, diary: Diary
    ) -> None:
        """One error names everything that has to be changed, and the attribute that cannot be pickled."""
        self.skip_unless_sent()
        lock = threading.Lock()

        class Locked:
            def __init__(self) -> None:
                self.padlock = lock

            @hook_impl
            def before_node_run(self) -> None: ...

        class Alone(DiaryDataset):
            _SINGLE_PROCESS = True

        unpicklable = DiaryDataset("x", diary)
        unpicklable.connection = lock  # type: ignore[attr-defined]
        nodes = pipeline(
            [
                node(lambda a: lock.locked(), "a", "x", name="takes_lock"),
                node(lambda a: diary.note_and_return("ran", 1), "a", "alone", name="good"),
            ]
        )
        catalog = DataCatalog({"a": 1, "x": unpicklable, "alone": Alone("alone", diary)})

        with pytest.raises(CannotSendError) as caught:
            runner.run(nodes, catalog, create_hook_manager([Locked()]))

        text = str(caught.value)
        assert isinstance(caught.value, AttributeError)
        assert len(caught.value.reason_by_name) == 4
        for part in ("takes_lock", "'lock'", "connection", "padlock", "alone", "_SINGLE_PROCESS"):
            assert part in text
        assert "good" not in text
        assert diary.kinds() == []

    def test_a_result_that_cannot_be_sent_is_an_error_that_names_it(self, runner: Any) -> None:
        """The problem shows only after the node has run, so the error has to name the node."""
        self.skip_unless_sent()
        nodes = pipeline(
            [
                node(threading.Lock, None, "lock", name="make_lock"),
                node(lambda lock: 1, "lock", "b", name="use_lock"),
                node(lambda b: threading.Lock(), "b", "out", name="make_another"),
            ]
        )

        with pytest.raises(Exception, match=r"lock") as caught:
            runner.run(nodes, DataCatalog())["out"].load()

        assert "make_" in str(caught.value) + "\n".join(notes_of(caught.value))

    @pytest.mark.parametrize("place", ["function", "free input", "loaded", "saved", "hooks"])
    def test_what_cannot_be_unpickled_is_an_error_of_its_task(
        self, runner: Any, tmp_path: Path, place: str
    ) -> None:
        """Workers of Dask that cannot unpickle a task end, one after the other."""
        self.skip_unless_sent()
        PickleDataset(tmp_path / "loaded").save(1)
        catalog = DataCatalog({"a": 1})
        if place == "free input":
            catalog["a"] = MemoryDataset(_Refusing(), copy_mode="assign")
        if place == "loaded":
            catalog["a"] = _RefusingDataset(tmp_path / "loaded")
        if place == "saved":
            catalog["b"] = _RefusingDataset(tmp_path / "saved")
        function = _Refusing() if place == "function" else str
        hooks = create_hook_manager([_Refusing()] if place == "hooks" else [])

        with pytest.raises(OSError, match="no such device") as caught:
            runner.run(pipeline([node(function, "a", "b", name="read")]), catalog, hooks)

        assert "'read'" in "".join(notes_of(caught.value))


class _Refusing:
    """A function, data or a plugin that can be pickled, but not unpickled: on a device that other machines lack."""

    def __call__(self, a: Any) -> str:
        return str(a)

    @hook_impl
    def before_node_run(self) -> None: ...

    def __reduce__(self) -> Any:
        return refuse, ()


class _RefusingDataset(PickleDataset):
    def __reduce__(self) -> Any:
        return refuse, ()


def notes_of(error: BaseException) -> list[str]:
    """The notes of the error, on every version of Python."""
    notes: list[str] = getattr(error, "__notes__", [])
    return notes
