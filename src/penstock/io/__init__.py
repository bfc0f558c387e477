"""Where data lives: datasets and the catalog that names them."""

from __future__ import annotations

from penstock.errors import DatasetAlreadyExistsError, DatasetError, DatasetNotFoundError
from penstock.io.cached import CachedDataset
from penstock.io.catalog import DataCatalog, SharedMemoryDataCatalog
from penstock.io.dataset import AbstractDataset
from penstock.io.memory import MemoryDataset

__all__ = [
    "AbstractDataset",
    "CachedDataset",
    "DataCatalog",
    "DatasetAlreadyExistsError",
    "DatasetError",
    "DatasetNotFoundError",
    "MemoryDataset",
    "SharedMemoryDataCatalog",
]
