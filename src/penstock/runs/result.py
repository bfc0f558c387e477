"""The result of a run, and how its outputs get into the catalog."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.io.kedro_objects import data_in_memory, is_plain_memory, is_shared_memory
from penstock.io.memory import Deferred, MemoryDataset, describe_deferred
from penstock.tasks.values import DatasetValue, opened, unwrap_value

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike
    from penstock.graph.plan import Plan


class NodeRecord(NamedTuple):
    """Where one node ran and how long it took.

    Loading and saving include the copies of data in memory. A load or save that is a task of its own may have run on another
    worker, or at the same time as others of the node; the seconds of all of them are added up.

    Example:
        >>> record = NodeRecord("fit", "MainThread", 1767225600.0, 0.5, 2.0, 0.25)
        >>> record.seconds
        2.75
    """

    node: str
    worker: str
    """The thread, process or cluster worker that called the node."""
    start: float
    """When the node's first task began: seconds since the epoch, on the worker's clock."""
    load_seconds: float
    call_seconds: float
    """In the node's function and the hooks around it."""
    save_seconds: float

    @property
    def seconds(self) -> float:
        """Loading, calling and saving together."""
        return self.load_seconds + self.call_seconds + self.save_seconds


class RunResult(dict[str, Any]):
    """The datasets of the pipeline's outputs, by name. `result["model"].load()` gives the data.

    What is in memory stays as this run made it, whatever later runs put into the catalog; a stored dataset is the catalog's own, and
    loads what the store holds then.

    Attributes:
        producers: The name of the node that made each dataset, by the dataset's name.
        records: One `NodeRecord` a node, in the order in which they finished.
        run_id: The id that hooks were given.
        seconds: The time from the first check to the last output.

    Args:
        datasets: The datasets, by name.
        producers: See the attribute.
        records: See the attribute.
        run_id: See the attribute.
        seconds: See the attribute.

    Raises:
        KeyError: A name that is no output, or was not made; the message says which node made it, if one did.

    Example:
        >>> import penstock
        >>> from penstock.pipeline import node, pipeline
        >>> result = penstock.run(pipeline([node(len, "text", "length", name="count")]), {"text": "penstock"})
        >>> result["length"].load(), result.producers
        (8, {'length': 'count'})
    """

    def __init__(
        self,
        datasets: Mapping[str, Any] | None = None,
        *,
        producers: Mapping[str, str] | None = None,
        records: Sequence[NodeRecord] = (),
        run_id: str = "",
        seconds: float = 0.0,
    ) -> None:
        super().__init__(datasets or {})
        self.producers = dict(producers or {})
        self.records = list(records)
        self.run_id = run_id
        self.seconds = seconds

    def __missing__(self, name: str) -> Any:
        producer = self.producers.get(name)
        reason = (
            f"node {producer!r} made it for other nodes; the catalog has it if it is stored"
            if producer
            else "no node of this run made it"
        )
        raise KeyError(f"{name} is not in the result: {reason}. Outputs: {', '.join(self) or 'none'}")

    def timetable(self, *, slowest_first: bool = False) -> str:
        """Where the time went, as text to print: a line for each node, and the total.

        The columns are those of `NodeRecord`: the start, in seconds after the start of the run's first node, and the seconds to load, to
        call, to save. Starts are as exact as the clocks of the workers agree.

        Args:
            slowest_first: The node that took longest comes first, instead of the one that started first.

        Returns:
            Lines of equal columns, without a line end after the last one. A notebook shows them as they are.

        Example:
            >>> fit = NodeRecord("fit", "MainThread", 1767225600.0, 0.5, 2.0, 0.25)
            >>> show = NodeRecord("show", "MainThread", 1767225602.75, 0.0, 0.0123, 0.0)
            >>> RunResult(records=[fit, show], run_id="7f3a", seconds=2.8).timetable()
            node   start s    load s    call s    save s  worker
            fit          0     0.500      2.00     0.250  MainThread
            show      2.75         0    0.0123         0  MainThread
            2 nodes in 2.80 s (run 7f3a)
        """
        records = sorted(self.records, key=lambda record: record.start)
        first = records[0].start if records else 0.0
        if slowest_first:
            records.sort(key=lambda record: record.seconds, reverse=True)
        header = ("node", "start s", "load s", "call s", "save s", "worker")
        rows = [header, *(_row(record, first) for record in records)]
        width = max(len(row[0]) for row in rows)
        lines = [
            f"{node:{width}}{''.join(f'{each:>10}' for each in times)}  {worker}"
            for node, *times, worker in rows
        ]
        total = f"{len(records)} nodes in {_seconds_text(self.seconds)} s (run {self.run_id})"
        return _ShownText("\n".join([*lines, total]))


def _row(record: NodeRecord, first: float) -> tuple[str, ...]:
    seconds = (record.start - first, record.load_seconds, record.call_seconds, record.save_seconds)
    return (record.node, *map(_seconds_text, seconds), record.worker)


class _ShownText(str):
    """Text that a notebook or a prompt shows as it is, without quotes and with its lines."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _seconds_text(seconds: float) -> str:
    """Three digits that mean something, and no more than microseconds."""
    if not round(seconds, 6):
        return "0"
    digits_before_point = math.floor(math.log10(abs(seconds))) + 1
    return f"{seconds:.{min(max(3 - digits_before_point, 0), 6)}f}"


@dataclass(frozen=True)
class Fetched:
    """An output that is in this process."""

    value: Data

    def describe(self) -> str:
        """The type of the value."""
        value = opened(self.value)
        return type(data_in_memory(value.dataset) if isinstance(value, DatasetValue) else value).__name__

    def fetch(self) -> Data:
        """The value."""
        return self.value


class RunValue:
    """An output in memory, fetched once for two datasets: the one of the result and the one of the catalog.

    Args:
        source: Where it is.
    """

    def __init__(self, source: Deferred) -> None:
        self.source: Deferred | None = source
        """None once it is fetched."""
        self._lock = threading.Lock()
        self._data: Data = None

    def describe(self) -> str:
        """Where the value is, for the `repr` of a dataset."""
        source = self.source
        return describe_deferred(Fetched(self._data) if source is None else source)

    def fetch(self) -> Data:
        """The value, without the dataset around it if it has one."""
        with self._lock:
            if self.source is not None:
                self._data, self.source = unwrap_value(self.source.fetch()), None
            return self._data


def put_outputs(
    asked: Iterable[str], plan: Plan, values: list[Deferred], catalog: CatalogLike
) -> dict[str, DatasetLike]:
    """Put the outputs in memory into the datasets of the catalog.

    Args:
        asked: The outputs of the pipeline, those included of nodes that were skipped.
        plan: What has run.
        values: The values of `plan.outputs`, in their order; more may follow.
        catalog: Has a dataset for each output.

    Returns:
        The datasets of the result, by name. In memory it is a dataset that keeps this value, whatever later runs put into the
        catalog. An output of a skipped node is there if it exists.
    """
    made = {name: _put(name, value, catalog) for name, value in zip(plan.outputs, values, strict=False)}
    ran = plan.pipeline.outputs()
    there = (name for name in sorted(asked) if name in ran or catalog.exists(name))
    return {name: made[name] if name in made else catalog[name] for name in there}


def _put(name: str, value: Deferred, catalog: CatalogLike) -> DatasetLike:
    dataset = catalog[name]
    if isinstance(dataset, MemoryDataset) and is_plain_memory(dataset):
        return _deferred_in_both(dataset, RunValue(value))
    data = opened(value.fetch(), name)
    if is_shared_memory(dataset):
        # Kedro's catalog wraps data in a dataset of its own kind.
        catalog[name] = unwrap_value(data)
        return copy.copy(catalog[name])
    if isinstance(data, DatasetValue):
        # The node has saved it to this dataset, or to a copy in another process; a second save could fire side effects again.
        own = copy.copy(getattr(data.dataset, "inner", data.dataset))
    else:
        own = copy.copy(dataset)
        own.save(data)
    vars(dataset).update(vars(own))
    return own


def _deferred_in_both(dataset: MemoryDataset, value: RunValue) -> MemoryDataset:
    """Put the value into the dataset, and into a new one like it."""
    own = MemoryDataset(copy_mode=dataset.copy_mode, metadata=dataset.metadata)
    own.defer(value)
    dataset.defer(value)
    return own
