"""The driver's book of a run: told each event, it writes records, logs what is done, and releases what nobody needs."""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from penstock.runner.result import NodeRecord

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, NodeLike, PipelineLike
    from penstock.graph.handover import Event
    from penstock.graph.plan import Plan


class Progress:
    """What has happened in one run.

    Args:
        pipeline: What runs.
        catalog: Is asked to release each dataset when its last reader has finished.
        log: Is told of each finished node.
    """

    def __init__(self, pipeline: PipelineLike, catalog: CatalogLike, log: logging.Logger) -> None:
        self._catalog = catalog
        self._log = log
        self._nodes: dict[str, NodeLike] = {node.name: node for node in pipeline.nodes}
        self._uses = Counter(name for node in pipeline.nodes for name in node.inputs)
        self._kept = pipeline.inputs() | pipeline.outputs()
        self._parts: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._events: dict[str, list[Event]] = defaultdict(list)
        # Events come from several threads; a release may run code of the user that loads a dataset.
        self._lock = threading.RLock()
        self.records: list[NodeRecord] = []
        self._failure: Exception | None = None

    def expect(self, plan: Plan) -> None:
        """Note which pieces of work make each node finished."""
        for task in plan.tasks.values():
            if task.kind in {"call", "save", "confirm"}:
                self._parts[task.node].add((task.kind, task.dataset))

    def check(self) -> None:
        """Raise what went wrong while a dataset was released; where events arrive, nobody could have been told."""
        if self._failure is not None:
            raise self._failure

    @property
    def finished(self) -> set[str]:
        """The names of the nodes all of whose work is done."""
        return {record.node for record in self.records}

    def __call__(self, event: Event) -> None:
        """Take note of an event; one that is told again, because a worker died, counts once."""
        with self._lock:
            parts = self._parts[event.node]
            if not parts:
                return
            self._events[event.node].append(event)
            parts.discard((event.kind, event.dataset))
            if not parts:
                self._finish(self._nodes[event.node])

    def _finish(self, node: NodeLike) -> None:
        self.records.append(_record(node.name, self._events.pop(node.name)))
        self._log.info("Completed node %s (%d of %d)", node.name, len(self.records), len(self._nodes))
        try:
            self._release(node)
        except Exception as error:  # noqa: BLE001 - kept, and raised by the runner
            self._failure = self._failure or error

    def _release(self, node: NodeLike) -> None:
        self._uses.subtract(node.inputs)
        for name in dict.fromkeys(node.inputs):
            if not self._uses[name] and name not in self._kept:
                self._catalog.release(name)
        for name in node.outputs:
            if not self._uses[name] and name not in self._kept:
                self._catalog.release(name)


def _record(node: str, events: list[Event]) -> NodeRecord:
    return NodeRecord(
        node,
        worker=next(event.where for event in events if event.kind == "call"),
        start=min(event.start for event in events),
        load_seconds=sum(event.load_seconds for event in events),
        call_seconds=sum(event.call_seconds for event in events),
        save_seconds=sum(event.save_seconds for event in events),
    )
