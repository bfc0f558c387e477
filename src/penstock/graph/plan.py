"""A compiled pipeline: the graph, the keys to ask for, and what each key is; told as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from penstock._typing import NodeLike, PipelineLike
    from penstock.tasks.policy import NodePolicy

LINES = 40
"""About what fits on a screen; `str(plan)` leaves out nodes beyond it, and says how many."""


class TaskInfo(NamedTuple):
    """What one key of the graph is."""

    kind: str
    """`call`, `load`, `save`, `pick`, `confirm` or `data`."""
    node: str = ""
    dataset: str = ""


@dataclass(frozen=True)
class NodePlan:
    """What one node does with its datasets, in words of the catalog."""

    name: str
    layer: int
    """Nodes of one layer wait for nobody in it; counted from 1."""
    loads: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    saves: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [
            f"{verb} {', '.join(names)}"
            for verb, names in (
                ("loads", self.loads),
                ("takes", self.takes),
                ("saves", self.saves),
                ("keeps", self.keeps),
            )
            if names
        ]
        return f"{self.layer:>3}. {self.name}: {'; '.join(parts)}"


@dataclass(frozen=True)
class Plan:
    """A Dask graph of a pipeline, as `compile_pipeline` makes it.

    `dask.get(plan.graph, plan.keys)`, the `get` of any other Dask scheduler and `Client.get` run it.
    """

    graph: dict[str, Any]
    """Dask task-spec nodes by key."""
    tasks: dict[str, TaskInfo]
    """What each key is."""
    keys: list[str]
    """The keys to ask a scheduler for, so that everything runs: outputs in memory first, then those that no task waits for."""
    outputs: dict[str, str]
    """The key of each output of the pipeline that is in memory, by its name."""
    pipeline: PipelineLike
    stored: frozenset[str]
    """The datasets that keep their data outside of the process."""
    policies: Mapping[str, NodePolicy] = field(default_factory=dict)
    """The policies of the nodes that have one, by the name of the node."""

    @cached_property
    def nodes(self) -> list[NodePlan]:
        """What each node does, in an order in which they may run."""
        return [
            self._node_plan(node, layer)
            for layer, nodes in enumerate(self.pipeline.grouped_nodes, start=1)
            for node in nodes
        ]

    def _node_plan(self, node: NodeLike, layer: int) -> NodePlan:
        inputs, outputs = dict.fromkeys(node.inputs), node.outputs
        return NodePlan(
            node.name,
            layer,
            loads=tuple(name for name in inputs if name in self.stored),
            takes=tuple(name for name in inputs if name not in self.stored),
            saves=tuple(name for name in outputs if name in self.stored),
            keeps=tuple(name for name in outputs if name not in self.stored),
        )

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - what a notebook calls
        printer.text(str(self))

    def _lines(self) -> Iterator[str]:
        kinds = Counter(task.kind for task in self.tasks.values())
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        yield f"{len(self.nodes)} nodes in {len(self.tasks)} tasks ({counts})"
        yield from map(str, self.nodes[:LINES])
        left = self.nodes[LINES:]
        if left:
            yield f"     ... and {len(left)} more nodes, up to layer {left[-1].layer}"
        yield f"Read from the catalog:  {_listed(self._read())}"
        yield f"Saved:                  {_listed(name for node in self.nodes for name in node.saves)}"
        yield f"Given back in memory:   {_listed(self.outputs)}"

    def _read(self) -> Iterator[str]:
        made = {name for node in self.nodes for name in (*node.saves, *node.keeps)}
        return (name for node in self.nodes for name in (*node.loads, *node.takes) if name not in made)


def _listed(names: Iterable[str], most: int = 12) -> str:
    shown = sorted(set(names))
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more or "nothing"
