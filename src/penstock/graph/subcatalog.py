"""Parts of catalogs: what travels with a task that needs some datasets of a catalog, and what a catalog does beyond its datasets.

From 1.7 on, Kedro's catalogs check data against the validators of their entries, in `load` and `save`.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from penstock.io.catalog import DataCatalog
from penstock.io.kedro_objects import is_plain_memory, validators_of
from penstock.io.memory import MemoryDataset

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike


def in_memory(
    name: str, dataset: DatasetLike, catalog: CatalogLike, *, leaves_process: bool
) -> DatasetLike | None:
    """What stands for a memory dataset of the catalog while its data is handed over in the graph.

    Args:
        name: Its name in the catalog.
        dataset: The dataset.
        catalog: It may check the data.
        leaves_process: Whether the dataset is pickled.
    """
    if name in validators_of(catalog):
        return Checked(name, subcatalog(catalog, {name: dataset}))
    # An empty one of Kedro's would come out of a pickle with data: what marks it as empty is another object there.
    is_kedros = is_plain_memory(dataset) and not isinstance(dataset, MemoryDataset)
    return None if leaves_process and is_kedros and not dataset.exists() else dataset


class Checked:
    """A memory dataset whose catalog checks what is saved and loaded, also where it is handed over in the graph.

    Args:
        name: Its name in the catalog.
        part: A catalog that has it.
    """

    _EPHEMERAL = True

    def __init__(self, name: str, part: CatalogLike) -> None:
        self.name = name
        self.part = part

    @property
    def inner(self) -> DatasetLike:
        """The memory dataset."""
        return self.part[self.name]

    def __copy__(self) -> Checked:
        return Checked(self.name, subcatalog(self.part, {self.name: copy.copy(self.inner)}))

    def load(self) -> Data:
        """The data, checked."""
        return self.part.load(self.name)

    def save(self, data: Data) -> None:
        """Keep the data, checked."""
        self.part.save(self.name, data)

    def exists(self) -> bool:
        """Whether there is data."""
        return self.inner.exists()

    def release(self) -> None:
        """Forget the data."""
        self.inner.release()


def subcatalog(catalog: CatalogLike, datasets: Mapping[str, DatasetLike | None]) -> CatalogLike:
    """A catalog that does with these datasets what `catalog` does, and knows nothing else that it knows.

    Kedro's own catalogs give one of Kedro's, so that logs, errors and checks of data are Kedro's as well. A name without a
    dataset is left out.
    """
    cls = _class_to_send(type(catalog))
    given = {name: dataset for name, dataset in datasets.items() if dataset is not None}
    if cls is DataCatalog:
        return DataCatalog(given)
    part: CatalogLike = cls(datasets=given)
    checks = {name: check for name, check in validators_of(catalog).items() if name in datasets}
    if checks:
        vars(part)["_validator_specs"].update(checks)
        vars(part)["validation_enabled"] = vars(catalog)["validation_enabled"]
    return part


@functools.lru_cache
def _class_to_send(cls: type) -> Any:
    """The nearest class of a catalog that another process can import, and that is made of datasets."""
    for base in cls.__mro__:
        if base is DataCatalog or (_is_importable(base) and _takes_datasets(base)):
            return base
    return DataCatalog


def _is_importable(cls: type) -> bool:
    """Whether it is found under its name; Kedro's sessions make the class of their catalog on the fly."""
    module = sys.modules.get(cls.__module__)
    return getattr(module, cls.__qualname__, None) is cls and hasattr(cls, "load")


def _takes_datasets(cls: type) -> bool:
    parameters = list(inspect.signature(cls).parameters.values())
    needed = [each for each in parameters if each.default is each.empty and each.kind < each.VAR_POSITIONAL]
    return any(each.name == "datasets" for each in parameters) and not needed
