"""Puts the outputs of a run into the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.io.kedro_objects import (
    inner_dataset,
    is_cached,
    is_plain_memory,
    is_shared_memory,
    release_file_cache,
)
from penstock.io.memory import Deferred, MemoryDataset
from penstock.tasks.values import DatasetValue, unwrapped

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, PipelineLike
    from penstock.graph.plan import Plan


@dataclass(frozen=True)
class Fetched:
    """An output that is in this process."""

    value: Data

    def fetch(self) -> Data:
        """The value."""
        return self.value


@dataclass(frozen=True)
class _Unwrapped:
    """An output, without the dataset around it if it has one."""

    value: Deferred

    def fetch(self) -> Data:
        """The value."""
        return unwrapped(self.value.fetch())


def put_outputs(plan: Plan, values: list[Deferred], catalog: CatalogLike) -> None:
    """Put the outputs in memory into the datasets of the catalog.

    Args:
        plan: What has run.
        values: Those of `plan.outputs`, in their order; more may follow.
        catalog: Has a dataset for each output.
    """
    for name, value in zip(plan.outputs, values, strict=False):
        dataset = catalog[name]
        if is_shared_memory(dataset):
            # Kedro's catalog wraps data in a dataset of its own kind.
            catalog[name] = unwrapped(value.fetch())
            continue
        if isinstance(dataset, MemoryDataset) and is_plain_memory(dataset):
            dataset.defer(_Unwrapped(value))
            continue
        data = value.fetch()
        if isinstance(data, DatasetValue) and hasattr(dataset, "__dict__"):
            # The node has saved it to a copy of this dataset; a second save could fire the dataset's side effects again.
            vars(dataset).update(vars(getattr(data.dataset, "inner", data.dataset)))
        else:
            dataset.save(unwrapped(data))


def release_output_caches(pipeline: PipelineLike, catalog: CatalogLike) -> None:
    """Release what this process has cached of the outputs, which other processes are about to save.

    A versioned dataset of Kedro remembers the version that it last loaded, and would load that one again.
    """
    for name in (name for node in pipeline.nodes for name in node.outputs):
        dataset: Any = catalog.get(name)
        if is_cached(dataset):
            dataset._cache.release()
            dataset = inner_dataset(dataset)
        release_file_cache(dataset)
