"""`Plan`: a compiled pipeline. `print` shows what each node loads, saves and keeps in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from penstock._typing import NodeLike, PipelineLike
    from penstock.tasks.policy import NodePolicy

MAX_LINES = 40
"""About as many as fit on a screen: `str(plan)` leaves out further nodes, and says how many."""


class TaskInfo(NamedTuple):
    """One key of the graph: a task, or data.

    Example:
        >>> from penstock import DataCatalog, compile_pipeline
        >>> from penstock.pipeline import node, pipeline
        >>> plan = compile_pipeline(pipeline([node(len, "text", "length", name="count")]), DataCatalog({"text": "x"}))
        >>> list(plan.tasks.values())
        [TaskInfo(kind='call', node='count', dataset='')]
    """

    kind: str
    """`call`, `load`, `save`, `pick` (one of several outputs), `confirm` or `data`."""
    node: str = ""
    """The name of the node; empty for data."""
    dataset: str = ""
    """The name of the dataset; empty for a call or a confirmation."""


@dataclass(frozen=True)
class NodePlan:
    """What one node does with its datasets.

    Example:
        >>> print(NodePlan("train", layer=2, loads=("features",), takes=("params:rate",), keeps=("model",)))
          2. train: loads features; takes params:rate; keeps model
    """

    name: str
    """The name of the node."""
    layer: int
    """From 1. Nodes of one layer do not wait for each other."""
    loads: tuple[str, ...] = ()
    """Inputs that are loaded from where they are stored."""
    takes: tuple[str, ...] = ()
    """Inputs that are in memory."""
    saves: tuple[str, ...] = ()
    """Outputs that are stored."""
    keeps: tuple[str, ...] = ()
    """Outputs that stay in memory."""

    def __str__(self) -> str:
        names_by_verb = {verb: getattr(self, verb) for verb in ("loads", "takes", "saves", "keeps")}
        parts = [f"{verb} {', '.join(names)}" for verb, names in names_by_verb.items() if names]
        return f"{self.layer:>3}. {self.name}: {'; '.join(parts)}"


@dataclass(frozen=True)
class Plan:
    """A pipeline as a Dask graph. `compile_pipeline` and `AbstractRunner.plan` make plans; `print` shows one.

    `dask.get(plan.graph, plan.keys)` runs a plan, and so does the `get` of any other Dask scheduler and `Client.get`.

    Example:
        >>> from penstock import DataCatalog, compile_pipeline
        >>> from penstock.pipeline import node, pipeline
        >>> count = node(len, "text", "length", name="count")
        >>> show = node(str, "length", "label", name="show")
        >>> plan = compile_pipeline(pipeline([count, show]), DataCatalog({"text": "abc"}))
        >>> print(plan)
        2 nodes in 2 tasks (2 call)
          1. count: takes text; keeps length
          2. show: takes length; keeps label
        Read from the catalog:  text
        Saved:                  nothing
        Given back in memory:   label
        >>> [node.name for node in plan.nodes if "length" in node.takes]
        ['show']
    """

    graph: dict[str, Any]
    """Dask's task objects by key."""
    tasks: dict[str, TaskInfo]
    """The kind, node and dataset of each key of the graph."""
    keys: list[str]
    """The keys to ask a scheduler for, so that everything runs: outputs in memory first, then those that no task waits for."""
    outputs: dict[str, str]
    """The key of each output of the pipeline that is in memory, by its name."""
    pipeline: PipelineLike
    """The pipeline that was compiled."""
    stored: frozenset[str]
    """The datasets that keep their data outside of the process."""
    policies: Mapping[str, NodePolicy] = field(default_factory=dict)
    """The policies of the nodes that have one, by the name of the node."""

    @cached_property
    def nodes(self) -> list[NodePlan]:
        """What each node does with its datasets, in an order in which the nodes can run."""
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

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - notebooks call it so
        printer.text(str(self))

    def _lines(self) -> Iterator[str]:
        kinds = Counter(task.kind for task in self.tasks.values())
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        yield f"{len(self.nodes)} nodes in {len(self.tasks)} tasks ({counts})"
        yield from map(str, self.nodes[:MAX_LINES])
        left = self.nodes[MAX_LINES:]
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
