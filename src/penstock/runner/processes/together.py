"""Which tasks of a node a worker does in one hand-out.

In the graph a load, its node and its saves are tasks of their own. Here the executor keeps them together where no task of another
node waits for what is between them: the data stays in the process, and the driver sends one message instead of three.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from penstock.graph.taskspec import work_of
from penstock.tasks.dataset_tasks import PickOutput

if TYPE_CHECKING:
    from penstock.runner.processes.shared_memory import Handle


class HandOuts:
    """The tasks of one run that are handed out together.

    Args:
        graph: The graph of the run.
        keys: The keys whose values the driver wants.
    """

    def __init__(self, graph: Mapping[str, Any], keys: Collection[str]) -> None:
        self._graph = graph
        self._wanted = set(keys)
        self._dependents: defaultdict[str, list[str]] = defaultdict(list)
        for key, task in graph.items():
            for dependency in _dependencies(task):
                self._dependents[dependency].append(key)
        self.handles: WeakValueDictionary[str, Handle] = WeakValueDictionary()
        """What the tasks that are done have made, by key, for as long as Dask holds it."""

    def followers(self, first: str) -> list[str]:
        """The tasks that the worker can do after `first`, which is ready, in an order in which it can do them.

        A task follows if it belongs to the same node, as all other readers of what it reads in this hand-out, and if all else
        that it needs is done.
        """
        together, found = [first], {first}
        for key in together:
            if self._is_read_within_node(key):
                ready = [each for each in self._dependents[key] if self._is_ready(each, found)]
                together.extend(each for each in ready if each not in found)
                found.update(ready)
        return together[1:]

    def stays(self, key: str, together: Collection[str]) -> bool:
        """Whether no task outside of the hand-out needs the value of `key`."""
        dependents = self._dependents[key]
        return bool(dependents) and key not in self._wanted and all(each in together for each in dependents)

    def task_and_handles(self, key: str) -> tuple[Any, dict[str, Handle]]:
        """A task, and the handles of what it reads from before the hand-out."""
        task = self._graph[key]
        handles = {each: self.handles.get(each) for each in _dependencies(task)}
        return task, {each: handle for each, handle in handles.items() if handle is not None}

    def _is_read_within_node(self, key: str) -> bool:
        node = _node_of(self._graph[key])
        works = [work_of(self._graph[each]) for each in self._dependents[key]]
        # Other nodes wait for picked outputs, and should not wait for the saves.
        return node is not None and not any(
            isinstance(work, PickOutput) or getattr(work, "node", None) is not node for work in works
        )

    def _is_ready(self, key: str, together: Collection[str]) -> bool:
        return all(each in together or each in self.handles for each in _dependencies(self._graph[key]))


def _dependencies(task: Any) -> Collection[str]:
    """The keys that a task reads; a graph of a user's own may have values instead of tasks."""
    keys: Collection[str] = getattr(task, "dependencies", ())
    return keys


def _node_of(task: Any) -> Any:
    return getattr(work_of(task), "node", None)
