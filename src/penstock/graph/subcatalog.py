"""Parts of a catalog: a task gets a catalog with only the datasets that it needs, and memory datasets keep their validation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.io.catalog import DataCatalog
from penstock.io.kedro_objects import catalog_like, is_plain_memory, validators_of
from penstock.io.memory import MemoryDataset

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike


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

    def __copy__(self) -> ValidatedMemory:
        return ValidatedMemory(self.name, subcatalog(self.catalog, {self.name: copy.copy(self.inner)}))

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
