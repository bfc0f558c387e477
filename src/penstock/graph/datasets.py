"""Looks up each dataset of a pipeline in the catalog, once, before the graph is built, and makes the small catalogs that tasks get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from dask.sizeof import sizeof

from penstock._similar import similar_names
from penstock.errors import MissingInputError
from penstock.io.catalog import DataCatalog
from penstock.io.kedro_objects import (
    catalog_like,
    copy_mode_of,
    data_in_memory,
    inner_dataset,
    is_cached,
    is_plain_memory,
    validators_of,
)
from penstock.io.memory import MemoryDataset

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike, PipelineLike

MAX_INPUT_BYTES = 10_000
"""A free input in memory up to this size is sent inside each task that reads it; a larger one is an entry of the graph."""

MAX_PARAMETER_BYTES = 100_000
"""The same for parameters: hundreds of numbers and texts, which count as some 80 bytes each and take 10 when they are sent."""


class Place(Enum):
    """Where a dataset keeps its data."""

    STORED = "stored"
    """Outside of the process: every reader loads it."""
    CACHED = "cached"
    """Outside of the process and in a cache: one task loads it for all readers."""
    MEMORY = "memory"
    """In the graph: a task's result is its reader's argument."""


class DatasetInfo(NamedTuple):
    """One dataset: where its data is, and how to copy it."""

    dataset: DatasetLike | None
    """The dataset that tasks use; None if the catalog has none, or if there is nothing to send of it."""
    place: Place
    copy_mode: str | None


_dataset_info: Callable[[tuple[Any, ...]], DatasetInfo] = partial(tuple.__new__, DatasetInfo)
"""`DatasetInfo(*fields)` in a fifth of the time, which counts for pipelines of many thousand datasets."""

_UNREGISTERED = DatasetInfo(None, Place.MEMORY, None)


class DatasetIndex:
    """The datasets of a pipeline by name, and how many nodes read each.

    Args:
        pipeline: Whose datasets to look up.
        catalog: Where to look them up. Nothing is loaded or registered.
        leaves_process: Whether tasks, and the datasets in them, are pickled.

    Attributes:
        by_name: Each dataset that a node reads, writes or confirms.
        inputs: The datasets that each node reads, in the order of the nodes; one that a node names twice stands once.
        reader_counts: How many nodes read each dataset.
    """

    def __init__(self, pipeline: PipelineLike, catalog: CatalogLike, *, leaves_process: bool) -> None:
        self.leaves_process = leaves_process
        self._catalog = catalog
        nodes = pipeline.nodes
        self.inputs = [dict.fromkeys(node.inputs) for node in nodes]
        inputs = [name for names in self.inputs for name in names]
        others = [name for node in nodes for name in (*node.outputs, *node.confirms)]
        self.reader_counts = Counter(inputs)
        self._confirmed = frozenset(name for node in nodes for name in node.confirms)
        self.by_name = self._look_up(dict.fromkeys([*inputs, *others]))

    @property
    def confirmed(self) -> frozenset[str]:
        """The names of stored datasets that nodes confirm."""
        return frozenset(name for name in self._confirmed if self.by_name[name].place is Place.STORED)

    @property
    def stored(self) -> frozenset[str]:
        """The names whose data is kept outside of the process."""
        return frozenset(name for name, info in self.by_name.items() if info.place is not Place.MEMORY)

    def catalog_for_task(self, names: Iterable[str]) -> CatalogLike:
        """The catalog itself, or where tasks leave this process a catalog that has these datasets only."""
        if not self.leaves_process:
            return self._catalog
        return subcatalog(self._catalog, {name: self.by_name[name].dataset for name in names})

    def catalog_for_hooks(self, names: Iterable[str]) -> CatalogLike:
        """The same without large data in memory, which would be sent with every task."""
        return self.catalog_for_task([name for name in names if self._is_small(name, MAX_INPUT_BYTES)])

    def is_sent_in_task(self, name: str) -> bool:
        """Whether a free input in memory is small enough to be sent with each task that reads it."""
        is_parameter = name == "parameters" or name.startswith("params:")
        return self._is_small(name, MAX_PARAMETER_BYTES if is_parameter else MAX_INPUT_BYTES)

    def _is_small(self, name: str, max_bytes: int) -> bool:
        dataset, place, _ = self.by_name[name]
        return not self.leaves_process or place is not Place.MEMORY or _data_bytes(dataset) <= max_bytes

    def _look_up(self, names: Iterable[str]) -> dict[str, DatasetInfo]:
        found: dict[str, DatasetInfo] = {}
        get, has_validators = self._catalog.get, bool(validators_of(self._catalog))
        memory = Place.MEMORY
        for name in names:
            dataset = get(name)
            if dataset is None:
                found[name] = _UNREGISTERED
            elif type(dataset) is MemoryDataset and not has_validators:
                # The most frequent kind by far.
                found[name] = _dataset_info((dataset, memory, dataset.copy_mode))
            else:
                found[name] = self._info(name, dataset)
        return found

    def _info(self, name: str, dataset: Any) -> DatasetInfo:
        copy_mode = copy_mode_of(dataset)
        if is_cached(dataset):
            # Elsewhere a cache is of no use, and Kedro's comes out of a pickle with data in it.
            to_send = inner_dataset(dataset) if self.leaves_process else dataset
            return DatasetInfo(to_send, Place.CACHED, copy_mode)
        if not getattr(dataset, "_EPHEMERAL", False):
            return DatasetInfo(dataset, Place.STORED, copy_mode)
        to_send = memory_dataset_for_graph(name, dataset, self._catalog, leaves_process=self.leaves_process)
        return DatasetInfo(to_send, Place.MEMORY, copy_mode)


def as_catalog(catalog: CatalogLike | Mapping[str, Any]) -> CatalogLike:
    """The catalog, or one that has the datasets and data of a mapping.

    Raises:
        TypeError: It is neither.
    """
    return cast("CatalogLike", catalog) if hasattr(catalog, "load") else DataCatalog(catalog)


def check_inputs(pipeline: PipelineLike, catalog: CatalogLike) -> None:
    """Check that the catalog has the free inputs of the pipeline.

    Raises:
        MissingInputError: Names all that it lacks, each with names that are close to it.
    """
    missing = {name for name in pipeline.inputs() if name not in catalog}
    if missing:
        known = list(catalog.keys()) if hasattr(catalog, "keys") else []
        close = {name: near for name in missing if (near := similar_names([name], known))}
        raise MissingInputError(missing, type(catalog).__name__, close)


def _data_bytes(dataset: DatasetLike | None) -> int:
    """About how large the data in a memory dataset is; data that is still on a cluster counts as large."""
    if getattr(dataset, "deferred", None) is not None:
        return MAX_PARAMETER_BYTES + 1
    return int(sizeof(data_in_memory(dataset)))


def subcatalog(catalog: CatalogLike, datasets: Mapping[str, DatasetLike | None]) -> CatalogLike:
    """A catalog that loads, saves and validates these datasets as `catalog` does, and holds nothing else.

    From a catalog of Kedro it is one of Kedro, so that logs, errors and validation are Kedro's as well.

    Args:
        catalog: The whole catalog.
        datasets: The datasets to hold, by name; a name without a dataset is left out.
    """
    present = {name: dataset for name, dataset in datasets.items() if dataset is not None}
    return catalog_like(catalog, present, default=DataCatalog)


def memory_dataset_for_graph(
    name: str, dataset: DatasetLike, catalog: CatalogLike, *, leaves_process: bool
) -> DatasetLike | None:
    """The dataset that tasks use in place of a memory dataset of the catalog, whose value the graph hands over.

    Args:
        name: Its name in the catalog.
        dataset: The memory dataset.
        catalog: Has it, and may validate its data.
        leaves_process: Whether tasks, and the datasets in them, are pickled.

    Returns:
        None if there is nothing to send of it.
    """
    if name in validators_of(catalog):
        return ValidatedMemory(name, subcatalog(catalog, {name: dataset}))
    # An empty dataset of Kedro would come out of a pickle with data: it is marked by an object that is another one there.
    is_kedros = is_plain_memory(dataset) and not isinstance(dataset, MemoryDataset)
    return None if leaves_process and is_kedros and not dataset.exists() else dataset


class ValidatedMemory:
    """A memory dataset whose catalog validates its data, also when the graph hands the data over.

    Args:
        name: Its name in the catalog.
        catalog: A catalog that has it.
    """

    _EPHEMERAL = True

    def __init__(self, name: str, catalog: CatalogLike) -> None:
        self.name = name
        self.catalog = catalog

    @property
    def inner(self) -> DatasetLike:
        """The memory dataset."""
        return self.catalog[self.name]

    def load(self) -> Data:
        """The data, validated."""
        return self.catalog.load(self.name)

    def save(self, data: Data) -> None:
        """Validate the data and keep it."""
        self.catalog.save(self.name, data)

    def exists(self) -> bool:
        """Whether there is data."""
        return self.inner.exists()

    def release(self) -> None:
        """Forget the data."""
        self.inner.release()
