"""All that runs inside a task: load a dataset, call a node, save a dataset.

Each kind of work is a small object that Dask calls with the values of the tasks before it. It holds what one task needs and
nothing of the rest of the pipeline or the catalog, since on a cluster it is sent with the task.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.graph.compact import reduced
from penstock.tasks.exceptions import add_note
from penstock.tasks.backend import Event
from penstock.logs.current_node import AT_WORK
from penstock.tasks.node_steps import (
    Context,
    Seconds,
    call_node,
    check_can_travel,
    confirm_datasets,
    forget,
    load_at_once,
    load_dataset,
    save_at_once,
    save_dataset,
    save_streams,
)
from penstock.hooks import NO_HOOKS, Hooks

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike, NodeLike
    from penstock.tasks.bindings import Input, Output, Ports


MOST_NAMES = 12
"""How many inputs an error names; a node may have thousands."""


class Several(tuple[Any, ...]):
    """The values of a node with several outputs, each of which a task of its own picks."""

    __slots__ = ()


@dataclass(eq=False, slots=True)
class Work:
    """One task of the graph. `str()` of it says what it does, in words for an error."""

    context: Context
    node: NodeLike
    __reduce__ = reduced
    reads = True
    """Whether it looks at the values that it is called with; if not, they only say that it may start."""

    def __call__(self, *values: Data, hooks: Hooks = NO_HOOKS) -> Data:
        """Do the work and tell the driver, or raise what went wrong with a note of where it did."""
        started = time.time()
        handover = self.context.handover
        home = None
        here = AT_WORK.set(self)
        try:
            result, seconds = self.do(values, hooks)
        except BaseException as error:
            # An exit, too: it would end the worker, and everybody's work on it.
            add_note(error, f"Raised in {self}, on {handover.where()}.")
            home = handover.raised(error, str(self))
            if home is error:
                raise
        finally:
            AT_WORK.reset(here)
        if home is not None:
            # Raised here, where it has no context: Dask would pickle that, too, and may not be able to.
            raise home
        if seconds is not None:
            handover.tell(Event(self.kind, self.node.name, self.dataset, handover.where(), started, *seconds))
        return result

    def __dask_tokenize__(self) -> tuple[str, ...]:
        """What tells it from other work of its run: Dask hashes each graph that it sends, and would look into all that it holds."""
        return type(self).__name__, self.node.name, self.dataset

    kind = ""

    if TYPE_CHECKING:

        @property
        def dataset(self) -> str:
            """What is loaded, saved or picked; empty where it is not one dataset."""

    def forget(self, dataset: DatasetLike) -> None:
        """Before a load: what this process knows of the store may be of an earlier run, if it is not the driver's."""
        if self.context.handover.leaves_process:
            forget(dataset)

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds | None]:
        """The result, and the seconds spent to load, to call and to save; None if nothing is to be told."""
        raise NotImplementedError


@dataclass(eq=False, slots=True)
class Load(Work):
    """Loads a stored dataset for its one reader."""

    dataset: str
    catalog: CatalogLike
    times: int = 1
    """How often the node names it: it is loaded, and hooks fire, as often."""
    kind = "load"
    reads = False

    def __str__(self) -> str:
        return f"the load of {self.dataset!r} for node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:  # noqa: ARG002
        """The data that the store gives back."""
        clock = time.perf_counter()
        self.forget(self.catalog[self.dataset])
        for _ in range(self.times):
            data = load_dataset(self.catalog.load, self.dataset, self.node, hooks)
        return data, (time.perf_counter() - clock, 0.0, 0.0)


@dataclass(eq=False, slots=True)
class SharedLoad(Work):
    """Loads a dataset once for all its readers, whose own tasks fire the hooks."""

    dataset: str
    catalog: CatalogLike
    kind = "load"
    reads = False

    def __str__(self) -> str:
        return f"the load of {self.dataset!r} for node {self.node.name!r} and all others that read it"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:  # noqa: ARG002
        """The data, from the cache or the store."""
        clock = time.perf_counter()
        self.forget(self.catalog[self.dataset])
        return self.catalog.load(self.dataset), (time.perf_counter() - clock, 0.0, 0.0)


@dataclass(eq=False, slots=True)
class Save(Work):
    """Saves one stored output of a node."""

    dataset: str
    catalog: CatalogLike
    index: int | None = None
    """Which of several outputs it is."""
    kind = "save"

    def __str__(self) -> str:
        return f"the save of {self.dataset!r} by node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[None, Seconds]:
        """Nothing: whoever reads the dataset loads it."""
        clock = time.perf_counter()
        data = values[0] if self.index is None else values[0][self.index]
        save_dataset(self.catalog.save, self.dataset, data, self.node, hooks)
        return None, (0.0, 0.0, time.perf_counter() - clock)


@dataclass(eq=False, slots=True)
class Confirm(Work):
    """Confirms what a node confirms, when all that it made is saved."""

    catalog: CatalogLike
    dataset = ""
    kind = "confirm"
    reads = False

    def __str__(self) -> str:
        return f"the confirmation of {self.node.confirms!r} by node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[None, Seconds]:  # noqa: ARG002
        """Nothing."""
        confirm_datasets(self.catalog, self.node)
        return None, (0.0, 0.0, 0.0)


@dataclass(eq=False, slots=True)
class Pick(Work):
    """One of several outputs of a node, so that each is freed by itself."""

    dataset: str
    index: int
    kind = "pick"

    def __str__(self) -> str:
        return f"the output {self.dataset!r} of node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, None]:  # noqa: ARG002
        """The output."""
        return values[0][self.index], None


@dataclass(eq=False, slots=True)
class Call(Work):
    """Calls a node with its inputs; the result is its output, or `Several`, or None."""

    ports: Ports
    catalog: CatalogLike | None = None
    """What node hooks are given."""
    confirms: CatalogLike | None = None
    """Confirms inside the task."""
    dataset = ""
    kind = "call"

    def __reduce__(self) -> tuple[Any, ...]:
        return (self.ports, (self.node,)) if self.catalog is None and self.confirms is None else reduced(self)

    def __str__(self) -> str:
        names = self.node.inputs
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return f"node {self.node.name!r} (inputs: {', '.join(names[:MOST_NAMES]) or 'none'}{more})"

    def named_inputs(self) -> Iterable[tuple[str, Input]]:
        """The datasets that the node takes, with how its task comes by each."""
        return zip(dict.fromkeys(self.node.inputs), self.ports.inputs, strict=True)

    def named_outputs(self) -> Iterable[tuple[str, Output]]:
        """The datasets that the node gives, with what its task does with each."""
        return zip(self.node.outputs, self.ports.outputs, strict=True)

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
        if self.context.handover.may_repeat:
            check_can_travel(self.node, given)
        if len(given) == 1:
            return given[0]
        return Several(given) if given else None

    def taken(self, values: tuple[Data, ...], hooks: Hooks) -> dict[str, Data]:
        """The node's inputs by name."""
        if hooks.for_datasets:
            return {name: self._taken(name, each, value, hooks) for name, each, value in self._paired(values)}
        return {name: each.take(name, value) for name, each, value in self._paired(values)}

    def _paired(self, values: tuple[Data, ...]) -> Iterable[tuple[str, Input, Data]]:
        """Each input with what the graph gives for it; the values beyond these only said that the task may start."""
        if self.ports.takes_values_only:
            names, inputs = self.node.inputs, self.ports.inputs
            unique = names if len(names) == len(inputs) else dict.fromkeys(names)
            return zip(unique, inputs, values, strict=False)
        given = iter(values)
        return [(name, each, next(given) if each.is_given else None) for name, each in self.named_inputs()]

    def _taken(self, name: str, each: Input, value: Data, hooks: Hooks) -> Data:
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

    def _given(self, name: str, each: Output, data: Data, hooks: Hooks) -> Data:
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
