"""Tasks that call a node: it gets its inputs, runs, and hands over its outputs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock._pickling import reduce_dataclass
from penstock.io.memory import IMMUTABLE_TYPES
from penstock.tasks.base import Work
from penstock.tasks.node_steps import (
    Seconds,
    call_node,
    load_dataset,
    load_in_threads,
    save_dataset,
    save_in_threads,
    save_streams,
)
from penstock.tasks.retries import with_retries
from penstock.tasks.streams import open_output
from penstock.tasks.values import MultipleOutputs, sent_outputs

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, NodeLike
    from penstock.hooks import Hooks
    from penstock.tasks.backend import Context
    from penstock.tasks.bindings import InputBinding, OutputBinding
    from penstock.tasks.load_tasks import Load
    from penstock.tasks.policy import NodePolicy

MAX_NAMES = 12
"""How many inputs an error names; a node may have thousands."""


@dataclass(eq=False, slots=True)
class Call(Work):
    """Calls a node with its inputs. The result is the value of its output, `MultipleOutputs`, or None."""

    bindings: Bindings
    catalog: CatalogLike | None = None
    """The catalog that node hooks get."""
    reloads: Mapping[str, Load] | None = None
    """Of a node with retries: load the stored inputs again for the second and later attempts, by the name of the dataset."""
    handed_on: int = 0
    """How many of the values after its inputs it hands on after its outputs: datasets that it has read, for their confirmation."""
    dataset = ""
    kind = "call"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.catalog is None and self.reloads is None and not self.handed_on:
            return self.bindings, (self.node,)
        return reduce_dataclass(self)

    def __str__(self) -> str:
        names = self.node.inputs
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        return f"node {self.node.name!r} (inputs: {', '.join(names[:MAX_NAMES]) or 'none'}{more})"

    def named_inputs(self) -> Iterable[tuple[str, InputBinding]]:
        """Each dataset that the node reads, with its binding."""
        return zip(dict.fromkeys(self.node.inputs), self.bindings.inputs, strict=True)

    def named_outputs(self) -> Iterable[tuple[str, OutputBinding]]:
        """Each dataset that the node writes, with its binding."""
        return zip(self.node.outputs, self.bindings.outputs, strict=True)

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:
        """The result, and the seconds to load, to call and to save."""
        return self._hand_over(*self._call(values, hooks), values, hooks)

    def do_with_retries(
        self, policy: NodePolicy, values: tuple[Data, ...], hooks: Hooks
    ) -> tuple[Data, Seconds]:
        """The same; each attempt after the first gets fresh inputs. The seconds to load and to call are those of the last one."""

        def attempt(number: int) -> tuple[dict[str, Data], float, float]:
            return self._call(self._fresh_values(values, hooks) if number else values, hooks)

        called = with_retries(attempt, policy, self, self.context.backend.is_stopped)
        return self._hand_over(*called, values, hooks)

    def _call(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[dict[str, Data], float, float]:
        """The outputs, and the seconds to load and to call."""
        clock = time.perf_counter
        started = clock()
        inputs = self.read_inputs(values, hooks)
        loaded = clock()
        outputs = call_node(self.node, inputs, self.catalog, hooks, self.context)
        return outputs, loaded - started, clock() - loaded

    def _hand_over(
        self,
        outputs: dict[str, Data],
        load_seconds: float,
        call_seconds: float,
        inputs: tuple[Data, ...],
        hooks: Hooks,
    ) -> tuple[Data, Seconds]:
        """What `do` returns, after the outputs are saved that this task saves."""
        called = time.perf_counter()
        values = self.write_outputs(outputs, hooks)
        if self.context.backend.may_repeat:
            values = sent_outputs(self.node, values)
        if self.handed_on:
            first = sum(each.comes_from_graph for each in self.bindings.inputs)
            values += inputs[first : first + self.handed_on]
        result = values[0] if len(values) == 1 else MultipleOutputs(values) if values else None
        return result, (load_seconds, call_seconds, time.perf_counter() - called)

    def _fresh_values(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, ...]:
        """The values from the graph, with those loaded again that a failed attempt may have changed."""
        reloads = self.reloads or {}
        names = [name for name, each in self.named_inputs() if each.comes_from_graph]
        fresh = [
            reloads[name].load(hooks) if name in reloads else value
            for name, value in zip(names, values, strict=False)
        ]
        return (*fresh, *values[len(names) :])

    def read_inputs(self, values: tuple[Data, ...], hooks: Hooks) -> dict[str, Data]:
        """The node's inputs by name."""
        if hooks.for_datasets or not self.bindings.inputs_are_values:
            return {name: self._read(name, each, value, hooks) for name, each, value in self._paired(values)}
        bindings = self.bindings.inputs
        # By index: `zip` takes half as long again, and a graph may have many thousand small nodes.
        return {
            # Numbers and texts are their own copies: no call for them.
            name: value
            if type(value := values[index]) in IMMUTABLE_TYPES and bindings[index].copy_mode is None
            else bindings[index].read(name, value)
            for index, name in enumerate(self.node.inputs)
        }

    def _paired(self, values: tuple[Data, ...]) -> Iterable[tuple[str, InputBinding, Data]]:
        """Each input with its value from the graph. Further values only mean that tasks which this one waits for are done."""
        remaining = iter(values)
        return [
            (name, each, next(remaining) if each.comes_from_graph else None)
            for name, each in self.named_inputs()
        ]

    def _read(self, name: str, binding: InputBinding, value: Data, hooks: Hooks) -> Data:
        if binding.has_load_task:
            return binding.read(name, value, hooks)
        # A stored dataset is loaded once for each time that the node names it, as in Kedro; data in memory is copied once.
        for _ in range(binding.times if hooks.for_datasets or binding.catalog is not None else 1):
            data = load_dataset(lambda name: binding.read(name, value), name, self.node, hooks)
        return data

    def write_outputs(self, outputs: dict[str, Data], hooks: Hooks) -> list[Data]:
        """The value for the graph of each output, in their order."""
        if hooks.for_datasets:
            return [self._write(name, each, outputs[name], hooks) for name, each in self.named_outputs()]
        bindings = self.bindings.outputs
        return [bindings[index].write(name, outputs[name]) for index, name in enumerate(self.node.outputs)]

    def _write(self, name: str, binding: OutputBinding, data: Data, hooks: Hooks) -> Data:
        if binding.has_save_task:
            return binding.write(name, data)
        return save_dataset(binding.write, name, data, self.node, hooks)


@dataclass(eq=False, slots=True)
class StreamCall(Call):
    """Calls a node whose function is a generator, and saves each chunk that it yields: a generator cannot leave its process."""

    def write_outputs(self, outputs: dict[str, Data], hooks: Hooks) -> list[Data]:
        """For each output that stays in the graph: the last chunk, or a dataset that has all chunks."""
        with ExitStack() as stack:
            opened = {
                name: stack.enter_context(open_output(name, each)) for name, each in self.named_outputs()
            }
            save_streams(lambda name, chunk: opened[name].save(chunk), outputs, self.node, hooks)
        return [each.value() for each in opened.values()]


@dataclass(eq=False, slots=True)
class AsyncCall(Call):
    """Calls a node whose inputs load, and whose outputs save, at the same time in threads."""

    def read_inputs(self, values: tuple[Data, ...], hooks: Hooks) -> dict[str, Data]:
        """The node's inputs by name."""
        paired = {name: (each, value) for name, each, value in self._paired(values)}
        for name, (each, _) in paired.items():
            if each.catalog is not None:
                self.release_file_cache(each.catalog[name])
        return load_in_threads(lambda name: self._read(name, *paired[name], hooks), list(paired))

    def write_outputs(self, outputs: dict[str, Data], hooks: Hooks) -> list[Data]:
        """The value for the graph of each output, in their order."""
        binding_by_name = dict(self.named_outputs())
        values = save_in_threads(
            lambda name, data: binding_by_name[name].write(name, data), outputs, self.node, hooks
        )
        return [values[name] for name in binding_by_name]


@dataclass(eq=False, slots=True)
class Bindings:
    """The part of a call that many nodes share. A pickled call is only this and its node."""

    __reduce__ = reduce_dataclass
    context: Context
    call_type: type[Call]
    inputs: tuple[InputBinding, ...]
    """In the order of the node's datasets; a dataset that the node names twice has one binding."""
    outputs: tuple[OutputBinding, ...]
    inputs_are_values: bool = field(init=False)
    """Whether all inputs are the values that the call gets from the graph, in the same order."""

    def __post_init__(self) -> None:
        self.inputs_are_values = all(each.comes_from_graph and each.times == 1 for each in self.inputs)

    def __call__(self, node: NodeLike) -> Call:
        """The call of a node with these bindings."""
        return self.call_type(self.context, node, self)
