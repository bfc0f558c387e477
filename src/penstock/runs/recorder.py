"""Records the events of a run in the driver, logs finished nodes, and releases datasets after their last reader."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.io.catalog import DataCatalog
from penstock.io.memory import MemoryDataset
from penstock.runs.result import NodeRecord

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, DatasetLike, NodeLike, PipelineLike
    from penstock.graph.plan import Plan
    from penstock.tasks.backend import Event


class Recorder:
    """The events of one run. Call it with each event.

    Args:
        pipeline: The pipeline that runs.
        catalog: Releases each dataset when its last reader has finished.
        datasets: The datasets of the pipeline in the catalog, by name.
        log: Gets a record for each finished node.
    """

    def __init__(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike,
        datasets: Mapping[str, DatasetLike | None],
        log: logging.Logger,
    ) -> None:
        nodes: list[NodeLike] = pipeline.nodes
        self._catalog = catalog
        self._log = log
        self.on_finish: Callable[[str], None] = lambda _: None
        """Called with the name of each finished node."""
        self._nodes = {node.name: node for node in nodes}
        used = datasets.keys() if type(catalog).release is not DataCatalog.release else _not_empty(datasets)
        self._released = used - pipeline.inputs() - pipeline.outputs()
        """Datasets to release when their last reader has finished."""
        # Most runs release nothing, and need no counts.
        readers = nodes if self._released else []
        self._uses = Counter(name for node in readers for name in node.inputs if name in self._released)
        self._awaited: dict[str, set[tuple[str, str]]] = {}
        """The call, saves and confirmations of each node that saves or confirms, as far as they are not done."""
        self._events: dict[str, dict[tuple[str, str], Event]] = {}
        """The events of nodes that have not finished, by kind and dataset."""
        # Events come from several threads. Reentrant, since a dataset's release may run a pipeline.
        self._lock = threading.RLock()
        self._finished: dict[str, NodeRecord] = {}
        self._failure: Exception | None = None

    def expect(self, plan: Plan) -> None:
        """Learn from the plan which saves and confirmations have to be done before a node is finished."""
        if len(plan.graph) == len(self._nodes):
            return
        for task in plan.tasks.values():
            if task.kind in {"save", "confirm"}:
                self._awaited.setdefault(task.node, {("call", "")}).add((task.kind, task.dataset))

    def check(self) -> None:
        """Raise the first error of a dataset's release: on the thread that delivers events it would be lost."""
        if self._failure is not None:
            raise self._failure

    @property
    def records(self) -> list[NodeRecord]:
        """One record for each finished node, in the order in which they finished."""
        return list(self._finished.values())

    @property
    def finished(self) -> set[str]:
        """The names of the finished nodes: all their tasks are done."""
        return set(self._finished)

    @property
    def begun(self) -> set[str]:
        """The names of nodes of which a task is done, and not all."""
        return set(self._events)

    def __call__(self, event: Event) -> None:
        """Record an event. One that arrives again, because a worker died and the task ran again, counts once."""
        name = event.node
        with self._lock:
            if name in self._finished:
                return
            if not self._is_last(event):
                self._events.setdefault(name, {})[event.kind, event.dataset] = event
                return
            earlier = self._events.pop(name, None)
            self._finished[name] = (
                _record((name, *event[3:])) if earlier is None else _added_up([*earlier.values(), event])
            )
            self.on_finish(name)
            self._log.info("Completed node %s (%d of %d)", name, len(self._finished), len(self._nodes))
            if self._released:
                self._release(self._nodes[name])

    def _is_last(self, event: Event) -> bool:
        """Whether this event finishes its node."""
        awaited = self._awaited.get(event.node)
        if awaited is None:
            return event.kind == "call"
        awaited.discard((event.kind, event.dataset))
        return not awaited

    def _release(self, node: NodeLike) -> None:
        self._uses.subtract(name for name in node.inputs if name in self._released)
        try:
            for name in dict.fromkeys([*node.inputs, *node.outputs]):
                if name in self._released and not self._uses[name]:
                    self._catalog.release(name)
        except Exception as error:  # noqa: BLE001 - the runner raises it, by calling `check`
            self._failure = self._failure or error


def _not_empty(datasets: Mapping[str, DatasetLike | None]) -> set[str]:
    """All but empty memory datasets, which need no release: the graph hands their values over, so they stay empty.

    Most datasets of a pipeline are such, and a release takes longer than recording an event.
    """
    return {
        name
        for name, dataset in datasets.items()
        if type(dataset) is not MemoryDataset or not dataset.is_empty
    }


_record: Callable[[tuple[Any, ...]], NodeRecord] = partial(tuple.__new__, NodeRecord)
"""A `NodeRecord` from a tuple: in half the time, which counts for pipelines of many thousand nodes."""


def _added_up(events: list[Event]) -> NodeRecord:
    """The record of a node with several tasks."""
    worker = next(event.worker for event in events if event.kind == "call")
    seconds = map(sum, zip(*[event[5:] for event in events], strict=True))
    return NodeRecord(events[0].node, worker, min(event.start for event in events), *seconds)
