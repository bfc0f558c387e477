"""Bindings: how a node's task gets each input of the node, and what it does with each output.

A binding has no name: bindings stand in the order of the node's datasets. So most nodes of a run share theirs.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock._pickling import reduce_dataclass
from penstock.errors import DatasetError
from penstock.hooks.calls import NO_HOOKS
from penstock.io.kedro_objects import raise_with_dataset_name
from penstock.io.memory import MemoryDataset, copied
from penstock.tasks.load_tasks import LoadedValue
from penstock.tasks.values import DatasetValue, opened

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike
    from penstock.hooks import Hooks


@dataclass(eq=False, slots=True)
class InputBinding:
    """How a node's task gets one of the node's inputs."""

    __reduce__ = reduce_dataclass
    comes_from_graph: bool = False
    """The task is called with the value, which another task has made or loaded."""
    is_copied: bool = False
    """The node gets a copy, since other nodes may hold the same object."""
    copy_mode: str | None = None
    has_load_task: bool = False
    """A `Load` task before this one loads it and fires the hooks."""
    times: int = 1
    """How often the node names the dataset: hooks fire as often."""
    dataset: DatasetLike | None = None
    """A dataset in memory, which the task loads."""
    catalog: CatalogLike | None = None
    """A catalog, from which the task loads the dataset by name."""

    def read(self, name: str, value: Data, hooks: Hooks = NO_HOOKS) -> Data:
        """The data that the node is called with.

        Args:
            name: The dataset.
            value: The value from the graph; ignored unless `comes_from_graph`.
            hooks: Fire if the value is a dataset that the load task could not send, and is loaded for this.
        """
        try:
            if self.comes_from_graph:
                is_copied = self.is_copied
                if isinstance(value, LoadedValue):
                    is_copied = is_copied or value.is_kept
                    value = value.open(hooks)
                value = opened(value, name)
                if isinstance(value, DatasetValue):
                    return value.dataset.load()
                return copied(value, self.copy_mode) if is_copied else value
            if self.dataset is not None:
                return self.dataset.load()
            catalog: Any = self.catalog
            return catalog.load(name)
        except Exception as error:  # noqa: BLE001 - raised again
            raise_with_dataset_name(error, name)


@dataclass(eq=False, slots=True)
class OutputBinding:
    """What a node's task does with one of the node's outputs."""

    __reduce__ = reduce_dataclass
    stays_in_graph: bool = False
    """Readers get the value from the graph, also if it is saved as well."""
    is_copied: bool = False
    """Readers get a copy, since the node's function may change the object later."""
    copy_mode: str | None = None
    has_save_task: bool = False
    """A `Save` task after this one saves it and fires the hooks."""
    dataset: DatasetLike | None = None
    """A memory dataset of the user's own class: it saves the value, and stays in the graph with it."""
    catalog: CatalogLike | None = None
    """A catalog, to which the task saves the dataset by name."""

    def write(self, name: str, data: Data) -> Data:
        """The value for the graph, after the data is saved if this task saves it.

        Args:
            name: The dataset.
            data: An output of the node, or one chunk of it.
        """
        try:
            if self.has_save_task:
                return copied(data, self.copy_mode) if self.stays_in_graph and self.is_copied else data
            if self.catalog is not None:
                self.catalog.save(name, data)
            if not self.stays_in_graph:
                return None
            if data is None:
                raise DatasetError(  # noqa: TRY301 - gets the dataset's name below, as an error of a dataset does
                    "the node returned None, which cannot be saved; return data, or declare no output"
                )
            if self.dataset is not None:
                self.dataset.save(data)
                return DatasetValue(self.dataset)
            return copied(data, self.copy_mode) if self.is_copied else data
        except Exception as error:  # noqa: BLE001 - raised again
            raise_with_dataset_name(error, name)

    def unchanged(self, name: str) -> Data:
        """The value for the graph if a generator yielded no chunk: readers find the dataset as it was."""
        if not self.stays_in_graph:
            return None
        dataset = self.catalog[name] if self.catalog is not None else self.dataset
        return DatasetValue(MemoryDataset() if dataset is None else dataset)


input_binding = functools.cache(InputBinding)
"""An `InputBinding`: the same object for the same arguments, which have to be hashable."""

output_binding = functools.cache(OutputBinding)
"""An `OutputBinding`: the same object for the same arguments, which have to be hashable."""
