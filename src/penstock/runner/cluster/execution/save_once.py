"""Scheduler plugin: completed saves are not repeated after a worker dies.

When a worker dies, Dask computes again what the worker held, and everything that this was made from. The result of a save is None,
and the data is in the store. So when the scheduler learns that a save is complete, the plugin writes None into the tasks that wait
for it, and they no longer depend on the save. Those tasks have not been sent to a worker yet: a worker would keep a dependency that
a task had when it was sent.

This changes task states of Dask's scheduler, which are not a public interface. So the plugin checks what it relies on when it is
installed, and does nothing after the first exception. In both cases the driver logs a warning, and saves may be repeated.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import distributed.scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

from penstock.graph.taskspec import new_task, reference, with_work, without_input, work_of
from penstock.runner.cluster.execution.exchange import SentWork
from penstock.runner.cluster.session import clean_up_scheduler

if TYPE_CHECKING:
    from distributed import Client

_LOG = logging.getLogger(__name__)

USED_OF_SCHEDULER = ("add_plugin", "plugins", "remove_plugin", "tasks", "transitions")
USED_OF_TASK_STATE = ("dependencies", "dependents", "key", "run_spec", "waiters", "who_wants")
"""Attributes of Dask's scheduler and of its task states that the plugin uses."""


@contextlib.contextmanager
def saving_once(client: Client) -> Iterator[None]:
    """Have the scheduler keep completed saves from being repeated inside the block; warn if it cannot."""
    name = f"penstock-{secrets.token_hex(8)}"
    try:
        missing = client.run_on_scheduler(_install, plugin=SaveOncePlugin(name, client.id))
        if missing:
            _LOG.warning(
                "Completed saves may be repeated if a worker dies: the scheduler's Dask lacks %s",
                ", ".join(missing),
            )
        yield
    finally:
        failure = clean_up_scheduler(client, _remove, name=name)
        if failure is not None:
            _LOG.warning(
                "Completed saves may have been repeated if a worker died: the scheduler plugin failed with %s",
                failure,
            )


class SaveOncePlugin(SchedulerPlugin):  # type: ignore[misc]  # distributed ships no types
    """Changes the tasks that are complete, on the scheduler, so that Dask does not repeat their saves.

    Args:
        name: The name of the plugin on the scheduler.
        client: The id of the run's client. If the client is gone, because its driver was killed, the plugin removes itself.
    """

    def __init__(self, name: str, client: str) -> None:
        self.name = name
        self.failure: str | None = None
        """The exception that stopped the plugin."""
        self._client = client
        self._unneeded_keys: set[Any] = set()
        """Keys that no task depends on any more. The scheduler does not notice that by itself."""

    def attach(self, scheduler: Any) -> None:
        """Start to work on the scheduler."""
        self._scheduler = scheduler
        scheduler.add_plugin(self, name=self.name)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Remove the plugin together with the run's client."""
        if client == self._client:
            _remove(self.name, scheduler)

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Change a task that is complete."""
        if finish != "memory" or self.failure is not None:
            return
        try:
            self._change(self._scheduler.tasks[key])
        except Exception as error:  # noqa: BLE001 - whatever Dask has changed, the run goes on without the plugin
            self.failure = repr(error)

    def _change(self, task: Any) -> None:
        work = work_of(task.run_spec)
        if not isinstance(work, SentWork):
            return
        if work.is_stored:
            self._detach_readers(task)
            self._detach_inputs(task)
        elif work.without_saves is not None:
            task.run_spec = with_work(task.run_spec, work.without_saves)

    def _detach_readers(self, task: Any) -> None:
        """Have no task depend on this one any more."""
        # All new specifications first: an exception must not leave half of the readers changed.
        specs = [(reader, without_input(reader.run_spec, task.key)) for reader in task.dependents]
        for reader, spec in specs:
            reader.run_spec = spec
            reader.dependencies.discard(task)
        task.dependents.clear()
        if task.waiters:
            task.waiters.clear()
        self._unneeded_keys.add(task.key)

    def _detach_inputs(self, task: Any) -> None:
        """Have a task that the driver asks for depend on no other, and do nothing, if Dask computes it again."""
        if not task.who_wants:
            return
        task.run_spec = new_task(task.key, _do_nothing)
        for needed in task.dependencies:
            needed.dependents.discard(task)
            self._unneeded_keys.add(needed.key)
        task.dependencies.clear()

    def forget_unneeded(self) -> None:
        """Have the scheduler forget the tasks that no task and no client needs any more."""
        tasks = (self._scheduler.tasks.get(key) for key in self._unneeded_keys)
        unneeded = [task.key for task in tasks if task and not task.dependents and not task.who_wants]
        self._scheduler.transitions(dict.fromkeys(unneeded, "forgotten"), stimulus_id="penstock-forget")


def _do_nothing() -> None:
    """The work of a task whose work is complete."""


# Called on the scheduler


def _install(plugin: SaveOncePlugin, dask_scheduler: Any) -> list[str]:
    """Install the plugin, unless Dask lacks something that it relies on; gives what is missing."""
    missing = missing_in_dask(dask_scheduler)
    if not missing:
        plugin.attach(dask_scheduler)
    return missing


def _remove(name: str, dask_scheduler: Any) -> str | None:
    """Remove the plugin, if it is there; gives the exception that stopped it, as text."""
    plugin: SaveOncePlugin | None = dask_scheduler.plugins.get(name)
    if plugin is None:
        return None
    dask_scheduler.remove_plugin(name)
    plugin.forget_unneeded()
    return plugin.failure


def missing_in_dask(scheduler: Any) -> list[str]:
    """What the plugin relies on and this version of Dask does not have, as text.

    Args:
        scheduler: Dask's scheduler.
    """
    missing = [f"Scheduler.{name}" for name in USED_OF_SCHEDULER if not hasattr(scheduler, name)]
    task_state = getattr(distributed.scheduler, "TaskState", None)
    known = {*dir(task_state), *getattr(task_state, "__annotations__", ())}
    missing += [f"TaskState.{name}" for name in USED_OF_TASK_STATE if name not in known]
    if [*inspect.signature(SchedulerPlugin.transition).parameters][1:4] != ["key", "start", "finish"]:
        missing.append("SchedulerPlugin.transition(key, start, finish)")
    transitions = getattr(scheduler, "transitions", None)
    if transitions is not None and "stimulus_id" not in inspect.signature(transitions).parameters:
        missing.append("Scheduler.transitions(recommendations, stimulus_id)")
    if not _can_change_tasks():
        missing.append("tasks whose function and arguments can be replaced")
    return missing


def _can_change_tasks() -> bool:
    try:
        task = with_work(new_task("task", len, reference("input")), _do_nothing)
        detached = without_input(task, "input")
        return work_of(detached) is _do_nothing and bool(task.dependencies) and not detached.dependencies
    except Exception:  # noqa: BLE001 - whatever Dask has changed
        return False
