"""Tasks that save, confirm or pick datasets.

Each is a small object that Dask calls with the values of the tasks before it. It holds what its task needs and nothing else of
the pipeline or the catalog, since on a cluster it is sent with the task.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.io.catalog import DataCatalog
from penstock.io.kedro_objects import catalog_like
from penstock.tasks.base import Work
from penstock.tasks.node_steps import Seconds, confirm_datasets, save_dataset
from penstock.tasks.values import opened

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data
    from penstock.hooks import Hooks


@dataclass(eq=False, slots=True)
class Save(Work):
    """Saves one stored output of a node."""

    dataset: str
    catalog: CatalogLike
    index: int | None = None
    """The position of the dataset among several outputs."""
    kind = "save"

    def __str__(self) -> str:
        return f"the save of {self.dataset!r} by node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[None, Seconds]:
        """None: nodes that read the dataset load it."""
        clock = time.perf_counter()
        data = values[0] if self.index is None else values[0][self.index]
        save_dataset(self.catalog.save, self.dataset, opened(data, self.dataset), self.node, hooks)
        return None, (0.0, 0.0, time.perf_counter() - clock)


@dataclass(eq=False, slots=True)
class Confirm(Work):
    """Confirms the datasets that a node confirms, when all outputs of the node are saved."""

    catalog: CatalogLike
    dataset = ""
    kind = "confirm"
    uses_values = False

    def __str__(self) -> str:
        return f"the confirmation of {self.node.confirms!r} by node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[None, Seconds]:  # noqa: ARG002
        """None."""
        confirm_datasets(self.catalog, self.node)
        return None, (0.0, 0.0, 0.0)


@dataclass(eq=False, slots=True)
class ConfirmLoaded(Confirm):
    """Confirms datasets as they were after the load that a `LoadToConfirm` did, perhaps in another process."""

    loaded: tuple[str, ...]
    """The names of the datasets that the task is called with, as its last values."""
    uses_values = True

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[None, Seconds]:
        """None."""
        loaded = dict(zip(self.loaded, values[-len(self.loaded) :], strict=True))
        datasets = {name: loaded.get(name, self.catalog[name]) for name in self.node.confirms}
        return Confirm(self.context, self.node, catalog_like(self.catalog, datasets, DataCatalog)).do(
            (), hooks
        )


@dataclass(eq=False, slots=True)
class PickOutput(Work):
    """Takes one value out of the several outputs of a node, so that each value is freed by itself."""

    dataset: str
    index: int
    kind = "pick"

    def __str__(self) -> str:
        return f"the output {self.dataset!r} of node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, None]:  # noqa: ARG002
        """The value of the output."""
        return values[0][self.index], None
