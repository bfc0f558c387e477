"""Values in the graph that are more than the data of one dataset, and how values go from worker to worker.

On a cluster, a value of a type that may not travel is sent as bytes, and the task that reads it unpickles it, so that an error in its
pickle is that task's. Dask unpickles what it fetches outside of tasks, and a value that cannot be pickled or unpickled it would fetch
again and again.
"""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask.sizeof import sizeof

from penstock._pickling import pickled_with_buffers, why_not_sendable
from penstock.errors import CannotSendError
from penstock.io.kedro_objects import data_in_memory
from penstock.io.memory import IMMUTABLE_TYPES, inferred_copy_mode
from penstock.tasks.exceptions import add_note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock._typing import Data, DatasetLike, NodeLike

Parts = tuple[bytes, list[Any]]
"""A pickle of protocol 5, and its large buffers."""

PROTOCOL = 5
"""The first protocol of pickle that leaves out large buffers."""

NOTHING = object()
"""In place of a value that is not in this process."""

_ALWAYS_SENDABLE = IMMUTABLE_TYPES | {bytearray}


def always_travels(value: Data) -> bool:
    """Whether a value can be sent to another process for certain: a number, a text, an array or a frame of these."""
    if type(value) in _ALWAYS_SENDABLE:
        return True
    return inferred_copy_mode(value) == "copy" and not _has_objects(value)


def _has_objects(value: Any) -> bool:
    """Whether an array or a frame has objects that are neither numbers nor texts."""
    if hasattr(type(value), "dtype"):
        return bool(value.dtype.hasobject)
    infer_dtype = sys.modules["pandas"].api.types.infer_dtype
    columns = [index for index, dtype in enumerate(value.dtypes) if getattr(dtype, "hasobject", False)]
    return any(infer_dtype(value.iloc[:, index]).startswith("mixed") for index in columns)


class SentValue:
    """A value that its reader gets as it is in the same process, and unpickles in another one.

    Args:
        value: The value, in the process that made it; anything else elsewhere.
        parts: Its pickle; by default it is pickled when it is sent.
        kind: The name of the type, for errors; by default the type of `value`.
    """

    def __init__(self, value: Data, parts: Parts | None = None, kind: str = "") -> None:
        self.value = value
        self.parts = parts
        self.kind = kind or type(value).__name__

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        data, buffers = self.parts or pickled_with_buffers(self.value)
        # Dask's scheduler and its clients speak protocol 4, which knows no buffers.
        sent = [pickle.PickleBuffer(each) if protocol >= PROTOCOL else bytes(each) for each in buffers]
        return SentValue, (None, (data, sent), self.kind)

    def __sizeof__(self) -> int:
        if self.parts is None:
            return int(sizeof(self.value))
        return len(self.parts[0]) + sum(memoryview(each).nbytes for each in self.parts[1])

    def open(self, dataset: str = "") -> Data:
        """The value. Whatever its class raises when it is unpickled gets a note that names the dataset."""
        if self.parts is None:
            return self.value
        data, buffers = self.parts
        try:
            return pickle.loads(data, buffers=buffers)
        except Exception as error:
            of = f" of {dataset!r}" if dataset else ""
            add_note(
                error, f"Raised while the {self.kind}{of}, which another process has sent, was unpickled."
            )
            raise


def sent_outputs(node: NodeLike, values: Iterable[Data]) -> list[Data]:
    """The outputs of a node, each that may not travel as a `SentValue`.

    Raises:
        CannotSendError: Names the outputs that cannot be sent, each with the reason.
    """
    checked = {
        name: value if always_travels(value) else SentValue(value)
        for name, value in zip(node.outputs, values, strict=True)
    }
    reasons = {
        f"output {name!r} of node {node.name!r}, a {value.kind}": reason
        for name, value in checked.items()
        if isinstance(value, SentValue) and (reason := why_not_sendable(value.value)) is not None
    }
    if reasons:
        raise CannotSendError(reasons)
    return list(checked.values())


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
