"""The scheduler plugin that keeps completed saves from being repeated: what it checks, and what happens if Dask has changed."""

from __future__ import annotations

import types

import pytest

from penstock import DaskRunner, DataCatalog, JSONDataset
from penstock.pipeline import node, pipeline
from penstock.runner.cluster.execution import save_once
from penstock.testing import add_one


@pytest.fixture
def run(in_process_client, tmp_path):
    """Runs three nodes with a stored dataset in the middle; the scheduler is in this process, so tests can change what it finds."""

    def run():
        catalog = DataCatalog({"x": 1, "kept": JSONDataset(str(tmp_path / "kept.json"))})
        nodes = [
            node(add_one, "x", "y", name="first"),
            node(add_one, "y", "kept", name="second"),
            node(add_one, "kept", "z", name="third"),
        ]
        return DaskRunner(in_process_client).run(pipeline(nodes), catalog)["z"].load()

    return run


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == save_once.__name__]


def penstock_plugins(in_process_client):
    scheduler = in_process_client.cluster.scheduler
    return [name for name in scheduler.plugins if str(name).startswith("penstock-")]


def scheduler_of_todays_dask(**changes):
    names = dict.fromkeys(save_once.USED_OF_SCHEDULER)
    return types.SimpleNamespace(
        **{**names, "transitions": lambda recommendations, stimulus_id: None, **changes}
    )


def test_the_installed_dask_has_all_that_the_plugin_relies_on(in_process_client, run, caplog):
    assert save_once.missing_in_dask(in_process_client.cluster.scheduler) == []
    assert run() == 4
    assert warnings_of(caplog) == []


def test_a_scheduler_that_lacks_something_is_found_out():
    scheduler = scheduler_of_todays_dask(transitions=lambda recommendations: None)
    del scheduler.tasks

    assert save_once.missing_in_dask(scheduler) == [
        "Scheduler.tasks",
        "Scheduler.transitions(recommendations, stimulus_id)",
    ]


def test_task_states_and_plugins_that_have_changed_are_found_out(monkeypatch):
    class TaskState:
        key = run_spec = dependencies = dependents = who_wants = None

    def transition(self, event):
        pass

    monkeypatch.setattr(save_once.distributed.scheduler, "TaskState", TaskState)
    monkeypatch.setattr(save_once.SchedulerPlugin, "transition", transition)

    assert save_once.missing_in_dask(scheduler_of_todays_dask()) == [
        "TaskState.waiters",
        "SchedulerPlugin.transition(key, start, finish)",
    ]


def without_effect(task, key):
    return task


def raising(task, key):
    raise AttributeError("'Task' object has no attribute 'args'")


@pytest.mark.parametrize("changed", [without_effect, raising])
def test_tasks_that_cannot_be_changed_are_found_out(monkeypatch, changed):
    monkeypatch.setattr(save_once, "without_input", changed)

    assert save_once.missing_in_dask(scheduler_of_todays_dask()) == [
        "tasks whose function and arguments can be replaced"
    ]


def test_a_dask_that_lacks_something_is_warned_about_once_and_the_run_goes_on(
    in_process_client, run, monkeypatch, caplog
):
    monkeypatch.setattr(save_once, "USED_OF_TASK_STATE", ("key", "river", "flow"))

    assert run() == 4

    assert warnings_of(caplog) == [
        "Completed saves may be repeated if a worker dies: the scheduler's Dask lacks TaskState.river, TaskState.flow"
    ]
    assert penstock_plugins(in_process_client) == []


def test_an_exception_in_the_plugin_is_warned_about_once_and_the_run_goes_on(
    in_process_client, run, monkeypatch, caplog
):
    """Dask calls the plugin in the middle of a transition, and logs its exceptions where no user looks."""
    monkeypatch.setattr(save_once, "_can_change_tasks", lambda: True)
    monkeypatch.setattr(save_once, "without_input", raising)

    assert run() == 4

    (warning,) = warnings_of(caplog)
    assert warning == (
        "Completed saves may have been repeated if a worker died: the scheduler plugin failed with "
        "AttributeError(\"'Task' object has no attribute 'args'\")"
    )
    assert penstock_plugins(in_process_client) == []
    monkeypatch.undo()
    assert run() == 4
