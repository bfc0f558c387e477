"""How a node's task comes by the node's inputs, and what it does with the outputs.

A port has no name: it stands in the order of the node's datasets. So most nodes of a run share theirs, and on a cluster
these travel once for all of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.errors import DatasetError
from penstock.graph.compact import reduced
from penstock.tasks.values import Held, holding
from penstock.tasks.node_steps import raise_named
from penstock.io.memory import MemoryDataset, copied

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike, NodeLike
    from penstock.tasks.node_steps import Context
    from penstock.tasks.dataset_tasks import Call


@dataclass(eq=False, slots=True)
class Input:
    """How a node's task comes by one of its inputs."""

    __reduce__ = reduced
    is_given: bool = False
    """The graph gives its value: the task is called with it."""
    copies: bool = False
    """Somebody else holds the same object."""
    copy_mode: str | None = None
    is_loaded: bool = False
    """A task before this one has loaded it and fired the hooks."""
    times: int = 1
    """How often the node names it: hooks fire as often."""
    dataset: DatasetLike | None = None
    """Loaded inside the task: a free input that is in memory, or, with `is_async`, a stored one."""
    catalog: CatalogLike | None = None
    """Loads it by name, inside the task."""

    def take(self, name: str, value: Data) -> Data:
        """The value, kept apart from everybody else's.

        Args:
            name: The dataset.
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
            return catalog.load(name)
        except Exception as error:
            raise_named(name, error)
            raise


@dataclass(eq=False, slots=True)
class Output:
    """What a node's task does with one of the node's outputs."""

    __reduce__ = reduced
    stays: bool = False
    """Its readers take it from the graph, although it may be saved."""
    copies: bool = False
    """Its readers must not see what the node's function does to it later."""
    copy_mode: str | None = None
    is_saved_apart: bool = False
    """A `Save` of its own follows, and fires the hooks."""
    dataset: DatasetLike | None = None
    """A memory dataset of the user's own kind: the value goes on inside a copy of it."""
    catalog: CatalogLike | None = None
    """Saves it by name, inside the task."""

    def give(self, name: str, data: Data, before: Data = None) -> Data:
        """What goes on in the graph; `before` is what this gave for the chunk before, if any."""
        try:
            if self.is_saved_apart:
                return copied(data, self.copy_mode) if self.stays and self.copies else data
            return self._kept(name, data, before)
        except Exception as error:
            raise_named(name, error)
            raise

    def _kept(self, name: str, data: Data, before: Data) -> Data:
        if self.catalog is not None:
            self.catalog.save(name, data)
        if not self.stays:
            return None
        if data is None:
            raise DatasetError(
                "the node returned None, which cannot be saved; return data, or declare no output"
            )
        if self.dataset is not None:
            return holding(before.dataset if before is not None else self.dataset, data)
        return copied(data, self.copy_mode) if self.copies else data

    def nothing(self, name: str) -> Data:
        """What goes on in the graph of a stream without chunks: readers find the dataset as it was."""
        if not self.stays:
            return None
        dataset = self.catalog[name] if self.catalog is not None else self.dataset
        return Held(MemoryDataset() if dataset is None else dataset)


@dataclass(eq=False, slots=True)
class Ports:
    """What the calls of many nodes have in common. On its way a call is no more than these, called with its node."""

    __reduce__ = reduced
    kind: type[Call]
    context: Context
    inputs: tuple[Input, ...]
    """In the order of the node's datasets; one that is named twice stands there once."""
    outputs: tuple[Output, ...]
    takes_values_only: bool = field(init=False)
    """The graph gives the values of all inputs."""

    def __post_init__(self) -> None:
        self.takes_values_only = all(each.is_given for each in self.inputs)

    def __call__(self, node: NodeLike) -> Call:
        """The call of a node that has these."""
        return self.kind(self.context, node, self)


new_input = functools.cache(Input)
"""An `Input` that is the same object for the same arguments, which have to be hashable."""

new_output = functools.cache(Output)
"""An `Output` that is the same object for the same arguments, which have to be hashable."""
