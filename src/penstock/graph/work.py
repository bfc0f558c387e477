"""All that runs inside a task: load a dataset, call a node, save a dataset.

Each kind of work is a small object that Dask calls with the values of the tasks before it. It holds what one task needs and
nothing of the rest of the pipeline or the catalog, since on a cluster it is sent with the task.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask.sizeof import sizeof

from penstock.errors import DatasetError
from penstock.graph.compact import reduced
from penstock.graph.failures import add_note
from penstock.graph.handover import Event
from penstock.graph.steps import (
    Context,
    Seconds,
    call_node,
    check_can_travel,
    confirm_datasets,
    forget,
    load_at_once,
    load_dataset,
    raise_named,
    save_at_once,
    save_dataset,
    save_streams,
)
from penstock.hooks import NO_HOOKS, Hooks
from penstock.io.memory import MemoryDataset, copied

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike, NodeLike


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
    dataset: str
    """What is loaded, saved or picked; empty where it is not one dataset."""
    __reduce__ = reduced
    reads = True
    """Whether it looks at the values that it is called with; if not, they only say that it may start."""

    def __call__(self, *values: Data, hooks: Hooks = NO_HOOKS) -> Data:
        """Do the work and tell the driver, or raise what went wrong with a note of where it did."""
        started = time.time()
        handover = self.context.handover
        home = None
        try:
            result, seconds = self.do(values, hooks)
        except BaseException as error:
            # An exit, too: it would end the worker, and everybody's work on it.
            add_note(error, f"Raised in {self}, on {handover.where()}.")
            home = handover.raised(error, str(self))
            if home is error:
                raise
        if home is not None:
            # Raised here, where it has no context: Dask would pickle that, too, and may not be able to.
            raise home
        if seconds is not None:
            handover.tell(Event(self.kind, self.node.name, self.dataset, handover.where(), started, *seconds))
        return result

    kind = ""

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

    index: int

    def __str__(self) -> str:
        return f"the output {self.dataset!r} of node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, None]:  # noqa: ARG002
        """The output."""
        return values[0][self.index], None


@dataclass(eq=False, slots=True)
class Input:
    """How a node's task comes by one of its inputs."""

    __reduce__ = reduced
    name: str
    times: int = 1
    """How often the node names it: hooks fire as often."""
    is_given: bool = False
    """The graph gives its value: the task is called with it."""
    dataset: DatasetLike | None = None
    """Loaded inside the task: a free input that is in memory, or, with `is_async`, a stored one."""
    is_loaded: bool = False
    """A task before this one has loaded it and fired the hooks."""
    copies: bool = False
    """Somebody else holds the same object."""
    copy_mode: str | None = None
    catalog: CatalogLike | None = None
    """Loads it by name, inside the task."""

    def take(self, value: Data) -> Data:
        """The value, kept apart from everybody else's.

        Args:
            value: What the graph gives; None if it does not.
        """
        try:
            if self.is_given:
                if isinstance(value, Held):
                    return value.dataset.load()
                return copied(value, self.copy_mode) if self.copies else value
            if self.dataset is not None:
                return self.dataset.load()
            catalog: Any = self.catalog
            return catalog.load(self.name)
        except Exception as error:
            raise_named(self.name, error)
            raise


@dataclass(eq=False, slots=True)
class Held:
    """A value inside the dataset that holds it, which decides what a reader gets."""

    dataset: DatasetLike

    def __sizeof__(self) -> int:
        """About the bytes of the data; Dask's workers and ours ask for it."""
        size: int = sizeof(getattr(self.dataset, "_data", self.dataset))
        return size


def opened(value: Data) -> Data:
    """A value, taken out of the dataset that holds it, if one does."""
    return value.dataset.load() if isinstance(value, Held) else value


@dataclass(eq=False, slots=True)
class Output:
    """What a node's task does with one of the node's outputs."""

    __reduce__ = reduced
    name: str
    is_saved_apart: bool = False
    """A `Save` of its own follows, and fires the hooks."""
    copies: bool = False
    """Its readers must not see what the node's function does to it later."""
    copy_mode: str | None = None
    dataset: DatasetLike | None = None
    """A memory dataset of the user's own kind: the value goes on inside a copy of it."""
    catalog: CatalogLike | None = None
    """Saves it by name, inside the task."""
    stays: bool = False
    """Its readers take it from the graph, although it is saved."""

    def give(self, data: Data, before: Data = None) -> Data:
        """What goes on in the graph; `before` is what this gave for the chunk before, if any."""
        try:
            if self.is_saved_apart:
                return copied(data, self.copy_mode) if self.stays and self.copies else data
            return self._kept(data, before)
        except Exception as error:
            raise_named(self.name, error)
            raise

    def _kept(self, data: Data, before: Data) -> Data:
        if self.catalog is not None:
            self.catalog.save(self.name, data)
            if not self.stays:
                return None
        if data is None:
            raise DatasetError(
                "the node returned None, which cannot be saved; return data, or declare no output"
            )
        if self.dataset is not None:
            return _held(before.dataset if before is not None else self.dataset, data)
        return copied(data, self.copy_mode) if self.copies else data

    def nothing(self) -> Data:
        """What goes on in the graph of a stream without chunks: readers find the dataset as it was."""
        if not self.stays:
            return None
        dataset = self.catalog[self.name] if self.catalog is not None else self.dataset
        return Held(MemoryDataset() if dataset is None else dataset)


@dataclass(eq=False, slots=True)
class Call(Work):
    """Calls a node with its inputs; the result is its output, or `Several`, or None."""

    inputs: list[Input]
    outputs: list[Output]
    catalog: CatalogLike | None = None
    """What node hooks are given."""
    confirms: CatalogLike | None = None
    """Confirms inside the task."""
    takes_values_only: bool = False
    """The graph gives the values of all inputs."""
    kind = "call"

    def __str__(self) -> str:
        names = self.node.inputs
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return f"node {self.node.name!r} (inputs: {', '.join(names[:MOST_NAMES]) or 'none'}{more})"

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
        return Several(given) if len(given) > 1 else next(iter(given), None)

    def taken(self, values: tuple[Data, ...], hooks: Hooks) -> dict[str, Data]:
        """The node's inputs by name."""
        if hooks.for_datasets:
            return {each.name: self._taken(each, value, hooks) for each, value in self._paired(values)}
        return {each.name: each.take(value) for each, value in self._paired(values)}

    def _paired(self, values: tuple[Data, ...]) -> Iterable[tuple[Input, Data]]:
        """Each input with what the graph gives for it; the values beyond these only said that the task may start."""
        if self.takes_values_only:
            return zip(self.inputs, values, strict=False)
        given = iter(values)
        return [(each, next(given) if each.is_given else None) for each in self.inputs]

    def _taken(self, each: Input, value: Data, hooks: Hooks) -> Data:
        if each.is_loaded:
            return each.take(value)
        for _ in range(each.times):
            data = load_dataset(lambda _: each.take(value), each.name, self.node, hooks)
        return data

    def given(self, outputs: dict[str, Data], hooks: Hooks) -> list[Data]:
        """What goes on in the graph, one for each output, in their order."""
        return [self._given(each, outputs[each.name], hooks) for each in self.outputs]

    def _given(self, each: Output, data: Data, hooks: Hooks) -> Data:
        if each.is_saved_apart or not hooks.for_datasets:
            return each.give(data)
        return save_dataset(lambda _, value: each.give(value), each.name, data, self.node, hooks)


@dataclass(eq=False, slots=True)
class StreamCall(Call):
    """Calls a node whose function is a generator: what it yields is saved at once, since a stream cannot travel."""

    def given(self, outputs: dict[str, Data], hooks: Hooks) -> list[Data]:
        """The last chunk of each output that stays in memory."""
        last: dict[str, Data] = {}
        output_by_name = {each.name: each for each in self.outputs}

        def save(name: str, chunk: Data) -> None:
            last[name] = output_by_name[name].give(chunk, last.get(name))

        save_streams(save, outputs, self.node, hooks)
        return [last[each.name] if each.name in last else each.nothing() for each in self.outputs]


@dataclass(eq=False, slots=True)
class AsyncCall(Call):
    """Calls a node whose inputs load and whose outputs save at the same time, in threads."""

    def taken(self, values: tuple[Data, ...], hooks: Hooks) -> dict[str, Data]:
        """The node's inputs by name."""
        for each in self.inputs:
            if each.catalog is not None:
                self.forget(each.catalog[each.name])
        paired = {each.name: (each, value) for each, value in self._paired(values)}
        return load_at_once(lambda name: self._taken(*paired[name], hooks), list(paired))

    def given(self, outputs: dict[str, Data], hooks: Hooks) -> list[Data]:
        """What goes on in the graph, one for each output, in their order."""
        output_by_name = {each.name: each for each in self.outputs}
        given = save_at_once(lambda name, data: output_by_name[name].give(data), outputs, self.node, hooks)
        return [given[each.name] for each in self.outputs]


def _held(dataset: DatasetLike, data: Data) -> Held:
    holder = copy.copy(dataset)
    holder.save(data)
    return Held(holder)
