"""All that runs inside a task: load a dataset, call a node, save a dataset.

Each kind of work is a small object that Dask calls with the values of the tasks before it. It holds what one task needs and
nothing of the rest of the pipeline or the catalog, since on a cluster it is sent with the task.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.tasks.base import Work
from penstock.tasks.node_steps import (
    Seconds,
    confirm_datasets,
    load_dataset,
    save_dataset,
)

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data
    from penstock.hooks import Hooks


@dataclass(eq=False, slots=True)
class Load(Work):
    """Loads a stored dataset for its one reader."""

    dataset: str
    catalog: CatalogLike
    times: int = 1
    """How often the node names it: it is loaded, and hooks fire, as often."""
    kind = "load"
    reads = False

    def __str__(self) -> str:
        return f"the load of {self.dataset!r} for node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:  # noqa: ARG002
        """The data that the store gives back."""
        clock = time.perf_counter()
        self.forget(self.catalog[self.dataset])
        for _ in range(self.times):
            data = load_dataset(self.catalog.load, self.dataset, self.node, hooks)
        return data, (time.perf_counter() - clock, 0.0, 0.0)


@dataclass(eq=False, slots=True)
class SharedLoad(Work):
    """Loads a dataset once for all its readers, whose own tasks fire the hooks."""

    dataset: str
    catalog: CatalogLike
    kind = "load"
    reads = False

    def __str__(self) -> str:
        return f"the load of {self.dataset!r} for node {self.node.name!r} and all others that read it"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:  # noqa: ARG002
        """The data, from the cache or the store."""
        clock = time.perf_counter()
        self.forget(self.catalog[self.dataset])
        return self.catalog.load(self.dataset), (time.perf_counter() - clock, 0.0, 0.0)


@dataclass(eq=False, slots=True)
class Save(Work):
    """Saves one stored output of a node."""

    dataset: str
    catalog: CatalogLike
    index: int | None = None
    """Which of several outputs it is."""
    kind = "save"

    def __str__(self) -> str:
        return f"the save of {self.dataset!r} by node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[None, Seconds]:
        """Nothing: whoever reads the dataset loads it."""
        clock = time.perf_counter()
        data = values[0] if self.index is None else values[0][self.index]
        save_dataset(self.catalog.save, self.dataset, data, self.node, hooks)
        return None, (0.0, 0.0, time.perf_counter() - clock)


@dataclass(eq=False, slots=True)
class Confirm(Work):
    """Confirms what a node confirms, when all that it made is saved."""

    catalog: CatalogLike
    dataset = ""
    kind = "confirm"
    reads = False

    def __str__(self) -> str:
        return f"the confirmation of {self.node.confirms!r} by node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[None, Seconds]:  # noqa: ARG002
        """Nothing."""
        confirm_datasets(self.catalog, self.node)
        return None, (0.0, 0.0, 0.0)


@dataclass(eq=False, slots=True)
class Pick(Work):
    """One of several outputs of a node, so that each is freed by itself."""

    dataset: str
    index: int
    kind = "pick"

    def __str__(self) -> str:
        return f"the output {self.dataset!r} of node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, None]:  # noqa: ARG002
        """The output."""
        return values[0][self.index], None
