"""What a cluster does once, whatever dies: the scheduler lets nobody need again what is done and saved.

Dask computes again what a dead worker held, and all that this was made of. The result of a save is nothing, and its worth is in
the store. When the scheduler hears that it is done, it writes None into the recipes of those that waited for it, which then need
it no more. They have not been sent to any worker yet: a worker would not forget what a task needed when it was sent.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

from penstock.graph.taskspec import new_task, with_work, without_input, work_of
from penstock.runner.cluster.broadcast import tidy
from penstock.tasks.base import Work
from penstock.tasks.call_tasks import Call
from penstock.tasks.dataset_tasks import Confirm, Save
from penstock.tasks.retries import Retried, without_retries

if TYPE_CHECKING:
    from distributed import Client


@contextlib.contextmanager
def done_once(client: Client) -> Iterator[None]:
    """While this is open, the scheduler sees to it that work which is done and saved is not done again."""
    name = f"penstock-{secrets.token_hex(8)}"
    try:
        client.register_plugin(Once(name, client.id), name=name)
        yield
    finally:
        tidy(client, _leave, name=name)


class Once(SchedulerPlugin):  # type: ignore[misc]  # distributed ships no types
    """Rewrites the recipe of each piece of work that is done, on the scheduler.

    Args:
        name: Of the plugin.
        client: Whose run it is; it leaves with it.
    """

    def __init__(self, name: str, client: str) -> None:
        self.name = name
        self._client = client
        self._alone: set[Any] = set()
        """Keys that no task needs any more, of which Dask would not hear."""

    async def start(self, scheduler: Any) -> None:
        """Remember the scheduler."""
        self._scheduler = scheduler

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Leave with the client: its driver may have been killed."""
        if client == self._client:
            _leave(self.name, scheduler)

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Rewrite the recipe of a task that is done."""
        if finish != "memory":
            return
        task = self._scheduler.tasks[key]
        work = work_of(task.run_spec)
        if not isinstance(work, Work):
            return
        inner = without_retries(work)
        again = _again(inner)
        if again is None:
            self._release_readers(task)
            self._release_needed(task)
        elif again is not inner:
            done = replace(work, work=again) if isinstance(work, Retried) else again
            task.run_spec = with_work(task.run_spec, done)

    def _release_readers(self, task: Any) -> None:
        """Let nobody need the task any more."""
        for reader in task.dependents:
            reader.run_spec = without_input(reader.run_spec, task.key)
            reader.dependencies.discard(task)
        task.dependents.clear()
        if task.waiters:
            task.waiters.clear()
        self._alone.add(task.key)

    def _release_needed(self, task: Any) -> None:
        """Let a task that the driver asks for need nobody, nor do anything, if it is computed again."""
        if not task.who_wants:
            return
        task.run_spec = new_task(task.key, _nothing)
        for needed in task.dependencies:
            needed.dependents.discard(task)
            self._alone.add(needed.key)
        task.dependencies.clear()

    def sweep(self) -> None:
        """Let the scheduler forget what it keeps for nobody."""
        tasks = (self._scheduler.tasks.get(key) for key in self._alone)
        unneeded = [task.key for task in tasks if task and not task.dependents and not task.who_wants]
        self._scheduler.transitions(dict.fromkeys(unneeded, "forgotten"), stimulus_id="penstock-sweep")


def _again(work: Work) -> Work | None:
    """What to do if the worker dies that has done the work; None if nothing, since all that came of it outlives workers."""
    if isinstance(work, Save | Confirm):
        return None
    if not isinstance(work, Call) or any(each.is_saved_apart for each in work.bindings.outputs):
        return work
    if not any(each.stays for each in work.bindings.outputs):
        return None
    saves_inside = work.confirms is not None or any(each.catalog for each in work.bindings.outputs)
    return _without_saves(work) if saves_inside else work


def _without_saves(call: Call) -> Call:
    outputs = tuple([replace(each, catalog=None) for each in call.bindings.outputs])
    return replace(call, bindings=replace(call.bindings, outputs=outputs), confirms=None)


def _nothing() -> None:
    """What is left to do of work that is done."""


def _leave(name: str, dask_scheduler: Any) -> None:
    plugin = dask_scheduler.plugins[name]
    dask_scheduler.remove_plugin(name)
    plugin.sweep()
