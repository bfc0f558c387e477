"""How a node's task comes by the node's inputs, and what it does with the outputs.

A port has no name: it stands in the order of the node's datasets. So most nodes of a run share theirs, and on a cluster
these travel once for all of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock._pickling import reduce_dataclass
from penstock.errors import DatasetError
from penstock.io.memory import MemoryDataset, copied
from penstock.tasks.node_steps import raise_named
from penstock.tasks.values import DatasetValue, saved_in_copy

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike


@dataclass(eq=False, slots=True)
class InputBinding:
    """How a node's task comes by one of its inputs."""

    __reduce__ = reduce_dataclass
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
                if isinstance(value, DatasetValue):
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
class OutputBinding:
    """What a node's task does with one of the node's outputs."""

    __reduce__ = reduce_dataclass
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
            return saved_in_copy(before.dataset if before is not None else self.dataset, data)
        return copied(data, self.copy_mode) if self.copies else data

    def nothing(self, name: str) -> Data:
        """What goes on in the graph of a stream without chunks: readers find the dataset as it was."""
        if not self.stays:
            return None
        dataset = self.catalog[name] if self.catalog is not None else self.dataset
        return DatasetValue(MemoryDataset() if dataset is None else dataset)


input_binding = functools.cache(InputBinding)
"""An `Input` that is the same object for the same arguments, which have to be hashable."""

output_binding = functools.cache(OutputBinding)
"""An `Output` that is the same object for the same arguments, which have to be hashable."""
