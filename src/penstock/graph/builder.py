"""Builds the Dask graph: each task gets its key, its references to other tasks, and the hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.graph.keys import new_run_id, task_key
from penstock.graph.plan import TaskInfo
from penstock.graph.taskspec import new_data, new_task, reference

if TYPE_CHECKING:
    from penstock.hooks import Hooks
    from penstock.tasks.base import Work


_task_info: Callable[[tuple[str, str, str]], TaskInfo] = partial(tuple.__new__, TaskInfo)
"""`TaskInfo(*fields)` in a fifth of the time, which counts for graphs of many thousand tasks."""


class GraphBuilder:
    """A graph, to which tasks are added after those that they wait for.

    Args:
        hooks: Each task is called with them. Tasks without hooks get no such argument.
        leaves_process: Whether tasks are pickled; the hooks are then one entry of the graph, and are sent once.
        prefixes: The result of `prefix_by_function` if tasks share prefixes; otherwise the prefix of a task is its name.

    Attributes:
        graph: The tasks by key.
        tasks: The kind, node and dataset of each key.
    """

    def __init__(
        self, hooks: Hooks, *, leaves_process: bool, prefixes: Mapping[int, str] | None = None
    ) -> None:
        self.graph: dict[str, Any] = {}
        self.tasks: dict[str, TaskInfo] = {}
        self._run_id = new_run_id()
        self._prefixes = prefixes
        self._new_task = new_task
        if hooks:
            shared = self.add_data("hooks", hooks) if leaves_process else hooks
            self._new_task = partial(new_task, hooks=shared)

    def add_task(self, work: Work, arguments: list[Any]) -> Any:
        """Add a task that calls `work` with the values of the references `arguments`.

        Returns:
            The reference to the task, for all tasks that need it: the same object is written once on its way to a cluster.
        """
        kind, node, dataset = work.kind, work.node.name, work.dataset
        if kind == "call":
            shared = self._prefixes[id(work.node.func)] if self._prefixes else ""
            key = task_key(node, self._run_id, len(self.graph), shared=shared)
        else:
            key = self._dataset_key(dataset or node, kind)
        self.graph[key] = self._new_task(key, work, *arguments)
        self.tasks[key] = _task_info((kind, node, dataset))
        return reference(key)

    def add_data(self, name: str, value: Any) -> Any:
        """Add a value under the name of its dataset. Returns the reference to it."""
        key = self._dataset_key(name, "data")
        self.graph[key] = new_data(key, value)
        self.tasks[key] = TaskInfo("data", "", name)
        return reference(key)

    def _dataset_key(self, name: str, kind: str) -> str:
        return task_key(name, self._run_id, len(self.graph), kind, f"{kind}:" if self._prefixes else "")

    def final_keys(self) -> list[str]:
        """The keys of the tasks that no task waits for."""
        awaited = set().union(*[task.dependencies for task in self.graph.values()])
        return [key for key, task in self.tasks.items() if key not in awaited and task.kind != "data"]
