"""The driver's book of a run: told each event, it writes records, logs what is done, and releases what nobody needs."""

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
    """What has happened in one run.

    Args:
        pipeline: What runs.
        catalog: Is asked to release each dataset when its last reader has finished.
        log: Is told of each finished node.
    """

    def __init__(self, pipeline: PipelineLike, catalog: CatalogLike, log: logging.Logger) -> None:
        nodes: list[NodeLike] = pipeline.nodes
        self._catalog = catalog
        self._log = log
        self.on_finish: Callable[[str], None] = lambda _: None
        """Called with the name of each node that has finished."""
        self._nodes = {node.name: node for node in nodes}
        kept = pipeline.inputs() | pipeline.outputs() | _empty(pipeline, catalog)
        self._released = pipeline.datasets() - kept
        """Those to release when their last reader has finished."""
        self._uses = Counter([name for node in nodes for name in node.inputs if name in self._released])
        self._parts: dict[str, set[tuple[str, str]]] = {}
        self._events: dict[str, dict[tuple[str, str], Event]] = {}
        """Of nodes that are not finished, by kind and dataset."""
        # Events come from several threads; a release may run code of the user that loads a dataset.
        self._lock = threading.RLock()
        self._finished: dict[str, NodeRecord] = {}
        self._failure: Exception | None = None

    def expect(self, plan: Plan) -> None:
        """Note which pieces of work beyond its call make a node finished."""
        if len(plan.graph) == len(self._nodes):
            return
        for task in plan.tasks.values():
            if task.kind in {"save", "confirm"}:
                self._parts.setdefault(task.node, {("call", "")}).add((task.kind, task.dataset))

    def check(self) -> None:
        """Raise what went wrong while a dataset was released; where events arrive, nobody could have been told."""
        if self._failure is not None:
            raise self._failure

    @property
    def records(self) -> list[NodeRecord]:
        """One for each finished node, in the order in which they finished."""
        return list(self._finished.values())

    @property
    def finished(self) -> set[str]:
        """The names of the nodes all of whose work is done."""
        return set(self._finished)

    def __call__(self, event: Event) -> None:
        """Take note of an event; one that is told again, because a worker died, counts once."""
        with self._lock:
            if event.node in self._finished:
                return
            if not self._is_last(event):
                self._events.setdefault(event.node, {})[event.kind, event.dataset] = event
                return
            events = {**self._events.pop(event.node, {}), (event.kind, event.dataset): event}
            self._finish(self._nodes[event.node], list(events.values()))

    def _is_last(self, event: Event) -> bool:
        """Whether all work of the node is done with this event."""
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
        except Exception as error:  # noqa: BLE001 - kept, and raised by the runner
            self._failure = self._failure or error

    def _release(self, node: NodeLike) -> None:
        if not self._released:
            return
        self._uses.subtract(name for name in node.inputs if name in self._released)
        for name in dict.fromkeys([*node.inputs, *node.outputs]):
            if name in self._released and not self._uses[name]:
                self._catalog.release(name)


def _empty(pipeline: PipelineLike, catalog: CatalogLike) -> set[str]:
    """Datasets that nobody can tell are released: they are in memory, empty, and stay so, since the graph has the values.

    Most datasets of a pipeline are; a release would take longer than all else that is noted of a node.
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
