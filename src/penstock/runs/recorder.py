"""Records the events of a run in the driver, logs finished nodes, and releases datasets after their last reader."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.io.catalog import DataCatalog
from penstock.io.memory import MemoryDataset
from penstock.runs.result import NodeRecord

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, NodeLike, PipelineLike
    from penstock.graph.plan import Plan
    from penstock.tasks.backend import Event


class Recorder:
    """The events of one run. Call it with each event.

    Args:
        pipeline: The pipeline that runs.
        catalog: Releases each dataset when its last reader has finished.
        log: Gets a record for each finished node.
    """

    def __init__(self, pipeline: PipelineLike, catalog: CatalogLike, log: logging.Logger) -> None:
        nodes: list[NodeLike] = pipeline.nodes
        self._catalog = catalog
        self._log = log
        self.on_finish: Callable[[str], None] = lambda _: None
        """Called with the name of each finished node."""
        self._nodes = {node.name: node for node in nodes}
        kept = pipeline.inputs() | pipeline.outputs() | _empty(pipeline, catalog)
        self._released = pipeline.datasets() - kept
        """Datasets to release when their last reader has finished."""
        self._uses = Counter([name for node in nodes for name in node.inputs if name in self._released])
        self._parts: dict[str, set[tuple[str, str]]] = {}
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
                self._parts.setdefault(task.node, {("call", "")}).add((task.kind, task.dataset))

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

    def __call__(self, event: Event) -> None:
        """Record an event. One that arrives again, because a worker died and the task ran again, counts once."""
        with self._lock:
            if event.node in self._finished:
                return
            if not self._is_last(event):
                self._events.setdefault(event.node, {})[event.kind, event.dataset] = event
                return
            earlier = self._events.pop(event.node, None)
            events = [event] if earlier is None else [*earlier.values(), event]
            self._finish(self._nodes[event.node], events)

    def _is_last(self, event: Event) -> bool:
        """Whether this event finishes its node."""
        parts = self._parts.get(event.node)
        if parts is None:
            return event.kind == "call"
        parts.discard((event.kind, event.dataset))
        return not parts

    def _finish(self, node: NodeLike, events: list[Event]) -> None:
        self._finished[node.name] = _record(node.name, events)
        self.on_finish(node.name)
        self._log.info("Completed node %s (%d of %d)", node.name, len(self._finished), len(self._nodes))
        try:
            self._release(node)
        except Exception as error:  # noqa: BLE001 - the runner raises it, by calling `check`
            self._failure = self._failure or error

    def _release(self, node: NodeLike) -> None:
        if not self._released:
            return
        self._uses.subtract(name for name in node.inputs if name in self._released)
        for name in dict.fromkeys([*node.inputs, *node.outputs]):
            if name in self._released and not self._uses[name]:
                self._catalog.release(name)


def _empty(pipeline: PipelineLike, catalog: CatalogLike) -> set[str]:
    """Empty memory datasets, which need no release: the graph hands their values over, so they stay empty.

    Most datasets of a pipeline are such, and a release takes longer than recording an event.
    """
    if type(catalog).release is not DataCatalog.release:
        return set()
    return {
        name
        for name in pipeline.datasets()
        if type(dataset := catalog.get(name)) is MemoryDataset and dataset.is_empty
    }


def _record(node: str, events: list[Event]) -> NodeRecord:
    if len(events) == 1:
        (event,) = events
        return NodeRecord(
            node, event.worker, event.start, event.load_seconds, event.call_seconds, event.save_seconds
        )
    return NodeRecord(
        node,
        worker=next(event.worker for event in events if event.kind == "call"),
        start=min(event.start for event in events),
        load_seconds=sum(event.load_seconds for event in events),
        call_seconds=sum(event.call_seconds for event in events),
        save_seconds=sum(event.save_seconds for event in events),
    )
