"""Promises about hooks: which ones fire, in which order, with which arguments, and what they can change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.hooks import create_hook_manager, hook_impl
from penstock.io import CachedDataset, DataCatalog
from penstock.pipeline import node, pipeline
from penstock.testing.base import RunnerPromises
from penstock.testing.diary import Diary, DiaryDataset, Recorder, add_one, fail

HOOKS = (
    "before_dataset_loaded",
    "after_dataset_loaded",
    "before_node_run",
    "after_node_run",
    "before_dataset_saved",
    "after_dataset_saved",
)


class HookPromises(RunnerPromises):
    """Hooks fire where the node runs, the same on every scheduler."""

    @pytest.mark.parametrize("kind", ["memory", "stored", "cached"])
    def test_hooks_enclose_loads_call_and_saves(self, runner: Any, diary: Diary, kind: str) -> None:
        """A plugin that measures, checks or encrypts relies on this order, for data in memory and in files."""
        a, b = DiaryDataset("a", diary), DiaryDataset("b", diary)
        a.save(1)
        catalog = {
            "memory": DataCatalog({"a": 1}),
            "stored": DataCatalog({"a": a, "b": b}),
            "cached": DataCatalog({"a": CachedDataset(a), "b": CachedDataset(b)}),
        }[kind]
        manager = create_hook_manager([Recorder(diary)])

        runner.run(pipeline([node(add_one, "a", "b", name="add")]), catalog, manager)

        fired = diary.notes(*HOOKS, "on_node_error")
        assert [note["kind"] for note in fired] == list(HOOKS)
        assert {note["node"] for note in fired} == {"add"}
        assert [note["dataset"] for note in fired if "dataset" in note] == ["a", "a", "b", "b"]
        assert [note["data"] for note in fired if "data" in note] == ["1", "2", "2"]

    def test_the_hooks_of_a_dataset_enclose_its_load_and_its_save(self, runner: Any, diary: Diary) -> None:
        a = DiaryDataset("a", diary)
        a.save(1)
        catalog = DataCatalog({"a": a, "b": DiaryDataset("b", diary)})

        runner.run(pipeline([node(add_one, "a", "b")]), catalog, create_hook_manager([Recorder(diary)]))

        kinds = diary.kinds()[2:]
        assert kinds[:3] == ["before_dataset_loaded", "load a", "after_dataset_loaded"]
        assert kinds[-4:] == ["before_dataset_saved", "save b", "saved b", "after_dataset_saved"]

    def test_all_loads_come_before_the_node_and_all_saves_after_it(self, runner: Any, diary: Diary) -> None:
        """The datasets of one node can be loaded in any order, but all of them before the node runs."""
        datasets = {name: DiaryDataset(name, diary) for name in "abcd"}
        datasets["a"].save(1)
        datasets["b"].save(2)
        nodes = pipeline([node(lambda a, b: (a, b), ["a", "b"], ["c", "d"], name="both")])

        runner.run(nodes, DataCatalog(datasets), create_hook_manager([Recorder(diary)]))

        kinds = [note["kind"] for note in diary.notes(*HOOKS)]
        assert kinds[4:6] == ["before_node_run", "after_node_run"]
        assert sorted(kinds[:4]) == sorted([*HOOKS[:2]] * 2)
        assert sorted(kinds[6:]) == sorted([*HOOKS[4:]] * 2)

    def test_hooks_fire_once_for_each_mention_of_an_input(self, runner: Any, diary: Diary) -> None:
        a = DiaryDataset("a", diary)
        a.save(1)
        nodes = pipeline([node(lambda x, y, z: x + y + z, ["a", "a", "b"], "c", name="sum")])

        runner.run(nodes, DataCatalog({"a": a, "b": 1}), create_hook_manager([Recorder(diary)]))

        loaded = sorted(note["dataset"] for note in diary.notes("after_dataset_loaded"))
        assert loaded == ["a", "a", "b"]

    def test_each_reader_of_a_cached_dataset_fires_the_hooks_of_its_load(
        self, runner: Any, diary: Diary
    ) -> None:
        a = DiaryDataset("a", diary)
        a.save(1)
        nodes = pipeline([node(add_one, "a", name, name=name) for name in ("x", "y")])

        runner.run(nodes, DataCatalog({"a": CachedDataset(a)}), create_hook_manager([Recorder(diary)]))

        for hook in HOOKS[:2]:
            assert sorted(note["node"] for note in diary.notes(hook)) == ["x", "y"]

    def test_hooks_get_the_parameters_of_the_run(self, runner: Any, diary: Diary) -> None:
        manager = create_hook_manager([Recorder(diary)])
        nodes = pipeline([node(add_one, "a", "b", name="add")])

        result = runner.run(nodes, DataCatalog({"a": 1}), manager, "run-7")

        note = diary.notes("before_node_run")[0]
        assert result.run_id == note["run_id"] == "run-7"
        assert note["is_async"] is self.is_async
        assert note["names"] == ["a", "b"]
        assert note["inputs"] == "{'a': 1}"

    def test_the_catalog_that_hooks_see_loads_the_nodes_datasets(self, runner: Any, diary: Diary) -> None:
        """A plugin that compares an input with the stored data loads it from the catalog that it gets."""
        a = DiaryDataset("a", diary)
        a.save(1)

        class Look:
            @hook_impl
            def before_node_run(self, catalog: Any) -> None:
                diary.note(f"found {catalog.load('a')} and {catalog.load('b')}")

        nodes = pipeline([node(lambda a, b: a + b, ["a", "b"], "c", name="add")])

        runner.run(nodes, DataCatalog({"a": a, "b": 2}), create_hook_manager([Look()]))

        assert "found 1 and 2" in diary.kinds()

    def test_plugins_are_called_last_registered_first(self, runner: Any, diary: Diary) -> None:
        """This is pluggy's order, also on a worker, which has its own manager."""
        plugins = [Recorder(diary, name) for name in ("first", "second", "third")]
        nodes = pipeline([node(add_one, "a", "b", name="add")])

        runner.run(nodes, DataCatalog({"a": 1}), create_hook_manager(plugins))

        for hook in HOOKS:
            assert [note["plugin"] for note in diary.notes(hook)] == ["third", "second", "first"]

    def test_a_hook_may_replace_inputs_and_the_plugin_registered_first_wins(
        self, runner: Any, diary: Diary
    ) -> None:
        class Replace:
            def __init__(self, number: int) -> None:
                self.number = number

            @hook_impl
            def before_node_run(self) -> dict[str, int]:
                return {"a": self.number}

        manager = create_hook_manager([Replace(10), Replace(20), Recorder(diary)])
        nodes = pipeline([node(lambda a, b: (a, b), ["a", "b"], "c", name="both")])

        result = runner.run(nodes, DataCatalog({"a": 1, "b": 2}), manager)

        assert result["c"].load() == (10, 2)
        assert diary.notes("after_node_run")[0]["inputs"] == "{'a': 10, 'b': 2}"

    def test_a_hook_that_changes_the_dict_of_inputs_changes_nothing(self, runner: Any) -> None:
        class Clear:
            @hook_impl
            def before_node_run(self, inputs: dict[str, Any]) -> None:
                inputs.clear()

        nodes = pipeline([node(add_one, "a", "b", name="add")])

        result = runner.run(nodes, DataCatalog({"a": 1}), create_hook_manager([Clear()]))

        assert result["b"].load() == 2

    def test_a_hook_must_return_a_dict_or_none(self, runner: Any) -> None:
        class Wrong:
            @hook_impl
            def before_node_run(self) -> list[str]:
                return ["a"]

        nodes = pipeline([node(add_one, "a", "b", name="add")])

        with pytest.raises(TypeError, match=r"add.*list"):
            runner.run(nodes, DataCatalog({"a": 1}), create_hook_manager([Wrong()]))

    def test_a_hook_must_not_name_inputs_that_the_node_does_not_take(self, runner: Any) -> None:
        class Wrong:
            @hook_impl
            def before_node_run(self) -> dict[str, int]:
                return {"z": 1}

        nodes = pipeline([node(add_one, "a", "b", name="add")])

        with pytest.raises(ValueError, match="z"):
            runner.run(nodes, DataCatalog({"a": 1}), create_hook_manager([Wrong()]))

    def test_the_error_hook_gets_the_error_of_the_node(self, runner: Any, diary: Diary) -> None:
        nodes = pipeline([node(fail, "a", "b", name="bad")])

        with pytest.raises(ValueError, match="too many turbines"):
            runner.run(nodes, DataCatalog({"a": 1}), create_hook_manager([Recorder(diary)]))

        (note,) = diary.notes("on_node_error")
        assert (note["node"], note["error"]) == ("bad", "ValueError('too many turbines')")
        assert note["inputs"] == "{'a': 1}"
        assert diary.notes("after_node_run", "before_dataset_saved") == []

    def test_wrong_outputs_are_an_error_of_the_node(self, runner: Any, diary: Diary) -> None:
        nodes = pipeline([node(lambda: 1, None, ["a", "b"], name="bad")])

        with pytest.raises(ValueError, match="bad"):
            runner.run(nodes, DataCatalog(), create_hook_manager([Recorder(diary)]))

        assert len(diary.notes("on_node_error")) == 1

    @pytest.mark.parametrize("broken", ["load", "save", "before_node_run", "after_dataset_loaded"])
    def test_errors_of_datasets_and_hooks_are_not_errors_of_the_node(
        self, runner: Any, diary: Diary, broken: str
    ) -> None:
        """Plugins that report `on_node_error` would blame the node for a full disk."""

        class Broken:
            @hook_impl
            def before_node_run(self) -> None:
                if broken == "before_node_run":
                    raise LookupError("broken")

            @hook_impl
            def after_dataset_loaded(self) -> None:
                if broken == "after_dataset_loaded":
                    raise LookupError("broken")

        error = LookupError("broken")
        a = DiaryDataset("a", diary, load_error=error if broken == "load" else None)
        b = DiaryDataset("b", diary, save_error=error if broken == "save" else None)
        a.save(1)
        nodes = pipeline([node(add_one, "a", "b", name="add")])
        manager = create_hook_manager([Recorder(diary), Broken()])

        with pytest.raises(Exception, match="broken") as caught:
            runner.run(nodes, DataCatalog({"a": a, "b": b}), manager)

        assert isinstance(caught.value, LookupError) is (broken not in {"load", "save"})
        assert diary.notes("on_node_error") == []

    def test_hooks_fire_for_each_chunk_and_the_nodes_before_the_first(
        self, runner: Any, diary: Diary
    ) -> None:
        self.skip_if_async()

        def stream() -> Iterator[int]:
            yield from (1, 2)

        manager = create_hook_manager([Recorder(diary)])
        catalog = DataCatalog({"x": DiaryDataset("x", diary)})

        runner.run(pipeline([node(stream, None, "x", name="stream")]), catalog, manager)

        chunk = ["before_dataset_saved", "save x", "saved x", "after_dataset_saved"]
        assert diary.kinds() == ["before_node_run", "after_node_run", *chunk, *chunk]
        assert [note["data"] for note in diary.notes("before_dataset_saved")] == ["1", "2"]

    def test_an_error_in_a_later_chunk_does_not_fire_the_error_hook(self, runner: Any, diary: Diary) -> None:
        self.skip_if_async()

        def stream() -> Iterator[int]:
            yield 1
            raise LookupError("dry")

        manager = create_hook_manager([Recorder(diary)])

        with pytest.raises(LookupError, match="dry"):
            runner.run(pipeline([node(stream, None, "x", name="stream")]), DataCatalog(), manager)

        assert diary.notes("on_node_error") == []

    def test_a_plugin_without_node_or_dataset_hooks_is_not_pickled(self, runner: Any) -> None:
        """Its locks and connections do not have to be picklable."""

        class Other:
            def __init__(self) -> None:
                self.lock = threading.Lock()

            @hook_impl
            def before_pipeline_run(self) -> None: ...

        nodes = pipeline([node(add_one, "a", "b", name="add")])

        result = runner.run(nodes, DataCatalog({"a": 1}), create_hook_manager([Other()]))

        assert result["b"].load() == 2

    def test_a_manager_that_returns_none_for_every_call_is_accepted(self, runner: Any) -> None:
        """Kedro passes such a manager to runners when there are no hooks."""

        class Null:
            def __getattr__(self, name: str) -> Any:
                if name.startswith("__"):
                    raise AttributeError(name)
                return self

            def __call__(self, **_: Any) -> None: ...

        nodes = pipeline([node(add_one, "a", "b", name="add")])

        for manager in (Null(), SimpleNamespace(hook=SimpleNamespace())):
            assert runner.run(nodes, DataCatalog({"a": 1}), manager)["b"].load() == 2
