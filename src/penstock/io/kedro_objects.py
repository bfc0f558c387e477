"""Recognises datasets and catalogs of Kedro by their attributes, without importing Kedro."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, DatasetLike

_LOG = logging.getLogger(__name__)


def validators_of(catalog: CatalogLike) -> Mapping[str, Any]:
    """What the catalog checks the data of its entries against, by their names."""
    return getattr(catalog, "validator_specs", None) or {}


def is_plain_memory(dataset: DatasetLike | None) -> bool:
    """Whether a copy mode says all of what a memory dataset does; otherwise its own `save` and `load` are called."""
    return dataset is None or type(dataset).__name__ == "MemoryDataset" or is_shared_memory(dataset)


def is_shared_memory(dataset: object) -> bool:
    """Whether it is a dataset of Kedro's that waits for a manager, in whose process its data would be: here nobody has one."""
    return (
        type(dataset).__name__ == "SharedMemoryDataset"
        and getattr(dataset, "shared_memory_dataset", None) is None
    )


def copy_mode_of(dataset: DatasetLike | None) -> str | None:
    """How a memory dataset copies its data, ours or Kedro's; None if the data decides."""
    mode: str | None = getattr(dataset, "copy_mode", None) or getattr(dataset, "_copy_mode", None)
    return mode


def is_cached(dataset: DatasetLike | None) -> bool:
    """Whether it is a `CachedDataset`, ours or Kedro's."""
    return any(cls.__name__ == "CachedDataset" for cls in type(dataset).__mro__)


_KNOWS_FILES = ("resolve_load_version", "_fs", "_filesystem")
"""What tells that a dataset remembers versions or listings: Kedro's versioned ones, and those on fsspec."""


def release_file_cache(dataset: Any) -> None:
    """Have a dataset of files forget which version or files there are, since another process may have changed that.

    One that fails to forget is left as it is: nobody asked for it.
    """
    if not any(
        hasattr(type(dataset), name) or name in getattr(dataset, "__dict__", ()) for name in _KNOWS_FILES
    ):
        return
    try:
        dataset.release()
    except Exception as error:  # noqa: BLE001 - whatever a user's dataset does
        _LOG.debug("%s was not released: %s", type(dataset).__name__, error)


def inner_dataset(cached: Any) -> Any:
    """What a `CachedDataset` remembers the data of, ours or Kedro's."""
    return cached.dataset if hasattr(cached, "dataset") else cached._dataset


_LOCAL = {"", "file", "local"}
"""What fsspec calls the file system of a machine."""


def local_path(dataset: Any) -> str | None:
    """The path of a dataset of ours, or of one of `kedro-datasets`, which keep it under these names."""
    location = getattr(dataset, "_location", None)
    if location is not None:
        return str(location.url) if getattr(location, "is_local", False) else None
    path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    is_local = getattr(dataset, "_protocol", "file") in _LOCAL and "://" not in str(path)
    return str(path) if path is not None and is_local else None
