"""The only module that knows Dask's task classes, from `dask.task_spec` (public since Dask 2025.1.0).

https://docs.dask.org/en/stable/custom-graphs.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dask.task_spec import DataNode, GraphNode, Task, TaskRef

reference: Callable[[str], Any] = TaskRef
"""`reference(key)`, as an argument of a task, is the value of another task."""

new_task: Callable[..., Any] = Task
"""`new_task(key, work, *arguments, **options)` is a task that calls `work`. Arguments and options may be references."""

new_data: Callable[[str, Any], Any] = DataNode
"""`new_data(key, value)` is an entry of the graph that holds a value."""


def is_data(task: Any) -> bool:
    """Whether an entry of the graph holds a value, so that there is nothing to run."""
    return isinstance(task, DataNode)


def data_of(graph: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a graph holds, by their keys."""
    return {key: task.value for key, task in graph.items() if isinstance(task, DataNode)}


def work_of(task: Any) -> Any:
    """The function that a task calls; None for anything but a task, for instance for data."""
    return task.func if isinstance(task, Task) else None


def node_names(graph: Mapping[str, Any], keys: Iterable[str]) -> set[str]:
    """The names of the nodes that tasks of a graph are of."""
    nodes = (getattr(work_of(graph.get(key)), "node", None) for key in keys)
    return {node.name for node in nodes if node is not None}


def with_work(task: Any, work: Callable[..., Any], **options: Any) -> Any:
    """A copy of the task that calls `work` instead, with the same arguments and with these options in addition."""
    return Task(task.key, work, *task.args, **{**task.kwargs, **options})


def without_input(task: Any, key: str) -> Any:
    """A copy of the task that gets None in place of the value of `key`."""
    # Dask 2025.1.0 keeps references as graph nodes of their own, under the same key.
    arguments = [
        None if isinstance(each, TaskRef | GraphNode) and each.key == key else each for each in task.args
    ]
    return Task(task.key, task.func, *arguments, **task.kwargs)
