"""Datasets, and the catalog that names them: where data is stored.

This package loads and saves data: in memory, and in files on this machine or on any file system of fsspec. It does not know
pipelines (`penstock.pipeline`), runners or Dask. A new kind of dataset is a subclass of `AbstractDataset` or `FileDataset`.
"""

from __future__ import annotations

from penstock.errors import DatasetAlreadyExistsError, DatasetError, DatasetNotFoundError
from penstock.io.cached import CachedDataset
from penstock.io.catalog import DataCatalog, SharedMemoryDataCatalog
from penstock.io.dataset import AbstractDataset
from penstock.io.files import FileDataset, JSONDataset, PickleDataset, TextDataset
from penstock.io.memory import MemoryDataset
from penstock.io.parameter_names import parameters
from penstock.io.tables import CSVDataset, ParquetDataset

__all__ = [
    "AbstractDataset",
    "CSVDataset",
    "CachedDataset",
    "DataCatalog",
    "DatasetAlreadyExistsError",
    "DatasetError",
    "DatasetNotFoundError",
    "FileDataset",
    "JSONDataset",
    "MemoryDataset",
    "ParquetDataset",
    "PickleDataset",
    "SharedMemoryDataCatalog",
    "TextDataset",
    "parameters",
]
