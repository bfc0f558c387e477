"""A value that goes from node to node inside the dataset that holds it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask.sizeof import sizeof

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike


@dataclass(eq=False, slots=True)
class DatasetValue:
    """A value inside the dataset that holds it, which decides what a reader gets."""

    dataset: DatasetLike

    def __dask_tokenize__(self) -> str:
        """Not its data, which may be large: Dask hashes each graph that it sends, where the key is like no other."""
        return type(self).__name__

    def __sizeof__(self) -> int:
        """About the bytes of the data; Dask's workers and ours ask for it."""
        size: int = sizeof(getattr(self.dataset, "_data", self.dataset))
        return size


def unwrapped(value: Data) -> Data:
    """A value, taken out of the dataset that holds it, if one does."""
    return value.dataset.load() if isinstance(value, DatasetValue) else value


def saved_in_copy(dataset: DatasetLike, data: Data) -> DatasetValue:
    """The data in a copy of the dataset."""
    holder = copy.copy(dataset)
    holder.save(data)
    return DatasetValue(holder)


class MultipleOutputs(tuple[Any, ...]):
    """The values of a node with several outputs, each of which a task of its own picks."""

    __slots__ = ()
