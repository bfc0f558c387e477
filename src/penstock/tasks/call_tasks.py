"""The task that calls a node."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock._pickling import reduce_dataclass
from penstock.tasks.base import Work
from penstock.tasks.node_steps import (
    Seconds,
    call_node,
    check_can_travel,
    confirm_datasets,
    load_at_once,
    load_dataset,
    save_at_once,
    save_dataset,
    save_streams,
)
from penstock.tasks.values import MultipleOutputs

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, NodeLike
    from penstock.hooks import Hooks
    from penstock.tasks.backend import Context
    from penstock.tasks.bindings import InputBinding, OutputBinding

MOST_NAMES = 12
"""How many inputs an error names; a node may have thousands."""


@dataclass(eq=False, slots=True)
class Call(Work):
    """Calls a node with its inputs; the result is its output, or `Several`, or None."""

    bindings: Bindings
    catalog: CatalogLike | None = None
    """What node hooks are given."""
    confirms: CatalogLike | None = None
    """Confirms inside the task."""
    dataset = ""
    kind = "call"

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            (self.bindings, (self.node,))
            if self.catalog is None and self.confirms is None
            else reduce_dataclass(self)
        )

    def __str__(self) -> str:
        names = self.node.inputs
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return f"node {self.node.name!r} (inputs: {', '.join(names[:MOST_NAMES]) or 'none'}{more})"

    def named_inputs(self) -> Iterable[tuple[str, InputBinding]]:
        """The datasets that the node takes, with how its task comes by each."""
        return zip(dict.fromkeys(self.node.inputs), self.bindings.inputs, strict=True)

    def named_outputs(self) -> Iterable[tuple[str, OutputBinding]]:
        """The datasets that the node gives, with what its task does with each."""
        return zip(self.node.outputs, self.bindings.outputs, strict=True)

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:
        """What the node made, as it goes on in the graph."""
        clock = time.perf_counter
        started = clock()
        inputs = self.taken(values, hooks)
        taken = clock()
        outputs = call_node(self.node, inputs, self.catalog, hooks, self.context)
        called = clock()
        kept = self.kept(outputs, hooks)
        return kept, (taken - started, called - taken, clock() - called)

    def kept(self, outputs: dict[str, Data], hooks: Hooks) -> Data:
        """What goes on in the graph; what is saved and confirmed inside the task is."""
        given = self.given(outputs, hooks)
        if self.confirms is not None:
            confirm_datasets(self.confirms, self.node)
        if self.context.backend.may_repeat:
            check_can_travel(self.node, given)
        if len(given) == 1:
            return given[0]
        return MultipleOutputs(given) if given else None

    def taken(self, values: tuple[Data, ...], hooks: Hooks) -> dict[str, Data]:
        """The node's inputs by name."""
        if hooks.for_datasets:
            return {name: self._taken(name, each, value, hooks) for name, each, value in self._paired(values)}
        return {name: each.take(name, value) for name, each, value in self._paired(values)}

    def _paired(self, values: tuple[Data, ...]) -> Iterable[tuple[str, InputBinding, Data]]:
        """Each input with what the graph gives for it; the values beyond these only said that the task may start."""
        if self.bindings.takes_values_only:
            names, inputs = self.node.inputs, self.bindings.inputs
            unique = names if len(names) == len(inputs) else dict.fromkeys(names)
            return zip(unique, inputs, values, strict=False)
        given = iter(values)
        return [(name, each, next(given) if each.is_given else None) for name, each in self.named_inputs()]

    def _taken(self, name: str, each: InputBinding, value: Data, hooks: Hooks) -> Data:
        if each.is_loaded:
            return each.take(name, value)
        for _ in range(each.times):
            data = load_dataset(lambda name: each.take(name, value), name, self.node, hooks)
        return data

    def given(self, outputs: dict[str, Data], hooks: Hooks) -> list[Data]:
        """What goes on in the graph, one for each output, in their order."""
        if hooks.for_datasets:
            return [self._given(name, each, outputs[name], hooks) for name, each in self.named_outputs()]
        return [each.give(name, outputs[name]) for name, each in self.named_outputs()]

    def _given(self, name: str, each: OutputBinding, data: Data, hooks: Hooks) -> Data:
        if each.is_saved_apart:
            return each.give(name, data)
        return save_dataset(each.give, name, data, self.node, hooks)


@dataclass(eq=False, slots=True)
class StreamCall(Call):
    """Calls a node whose function is a generator: what it yields is saved at once, since a stream cannot travel."""

    def given(self, outputs: dict[str, Data], hooks: Hooks) -> list[Data]:
        """The last chunk of each output that stays in memory."""
        last: dict[str, Data] = {}
        output_by_name = dict(self.named_outputs())

        def save(name: str, chunk: Data) -> None:
            last[name] = output_by_name[name].give(name, chunk, last.get(name))

        save_streams(save, outputs, self.node, hooks)
        return [last[name] if name in last else each.nothing(name) for name, each in self.named_outputs()]


@dataclass(eq=False, slots=True)
class AsyncCall(Call):
    """Calls a node whose inputs load and whose outputs save at the same time, in threads."""

    def taken(self, values: tuple[Data, ...], hooks: Hooks) -> dict[str, Data]:
        """The node's inputs by name."""
        paired = {name: (each, value) for name, each, value in self._paired(values)}
        for name, (each, _) in paired.items():
            if each.catalog is not None:
                self.forget(each.catalog[name])
        return load_at_once(lambda name: self._taken(name, *paired[name], hooks), list(paired))

    def given(self, outputs: dict[str, Data], hooks: Hooks) -> list[Data]:
        """What goes on in the graph, one for each output, in their order."""
        output_by_name = dict(self.named_outputs())
        given = save_at_once(
            lambda name, data: output_by_name[name].give(name, data), outputs, self.node, hooks
        )
        return [given[name] for name in output_by_name]


@dataclass(eq=False, slots=True)
class Bindings:
    """What the calls of many nodes have in common. On its way a call is no more than these, called with its node."""

    __reduce__ = reduce_dataclass
    kind: type[Call]
    context: Context
    inputs: tuple[InputBinding, ...]
    """In the order of the node's datasets; one that is named twice stands there once."""
    outputs: tuple[OutputBinding, ...]
    takes_values_only: bool = field(init=False)
    """The graph gives the values of all inputs."""

    def __post_init__(self) -> None:
        self.takes_values_only = all(each.is_given for each in self.inputs)

    def __call__(self, node: NodeLike) -> Call:
        """The call of a node that has these."""
        return self.kind(self.context, node, self)
