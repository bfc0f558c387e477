"""Values in the graph that are more than the data of one dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask.sizeof import sizeof

from penstock.io.kedro_objects import data_in_memory
from penstock.tasks.sent_values import SentValue

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike


@dataclass(eq=False, slots=True)
class DatasetValue:
    """A value inside the memory dataset that holds it, whose `load` gives a reader its data."""

    dataset: DatasetLike

    def __dask_tokenize__(self) -> str:
        """The class only: Dask hashes each graph that it sends, the data may be large, and each key is unique already."""
        return type(self).__name__

    def __sizeof__(self) -> int:
        """About the bytes of the data, for Dask's workers and ours."""
        return int(sizeof(data_in_memory(self.dataset)))


def opened(value: Data, dataset: str = "") -> Data:
    """The value, unpickled if it was sent as a `SentValue`."""
    return value.open(dataset) if isinstance(value, SentValue) else value


def unwrap_value(value: Data) -> Data:
    """The data of a `DatasetValue`; any other value as it is, unpickled if it was sent."""
    value = opened(value)
    return value.dataset.load() if isinstance(value, DatasetValue) else value


class MultipleOutputs(tuple[Any, ...]):
    """The values of a node with several outputs. A `PickOutput` task takes each of them out."""

    __slots__ = ()
