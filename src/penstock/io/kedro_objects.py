"""Recognises datasets, catalogs and errors of Kedro by their names and attributes, without importing Kedro.

All knowledge of the inside of Kedro's objects is here; `tests/kedro` runs it against the oldest and the newest Kedro.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from penstock.errors import DatasetError

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike

_LOG = logging.getLogger(__name__)

_LOCAL_PROTOCOLS = {"", "file", "local"}
"""fsspec's names for the file system of this machine."""

_FILE_CACHE_ATTRIBUTES = ("resolve_load_version", "_fs", "_filesystem")
"""A dataset with one of these remembers versions or listings: versioned datasets of Kedro, and datasets on fsspec."""

_APPENDING_MODES = {"a", "ab", "a+", "ab+", "a+b", "append"}


_PATTERN = frozenset("*?[{")
"""A path with one of these stands for any number of files, in datasets of Spark for instance."""


# Datasets in memory


def is_plain_memory(dataset: DatasetLike | None) -> bool:
    """Whether a memory dataset only copies data, as its copy mode says; if not, its own `save` and `load` have to be called."""
    return dataset is None or type(dataset).__name__ == "MemoryDataset" or is_shared_memory(dataset)


def is_shared_memory(dataset: object) -> bool:
    """Whether this is a dataset of Kedro that waits for a `multiprocessing` manager to hold its data; Penstock starts none."""
    return (
        type(dataset).__name__ == "SharedMemoryDataset"
        and getattr(dataset, "shared_memory_dataset", None) is None
    )


def copy_mode_of(dataset: DatasetLike | None) -> str | None:
    """The copy mode of a memory dataset of Penstock or Kedro; None if the type of the data decides."""
    # Kedro's `MemoryDataset._copy_mode`: without it nodes would get deep copies of data that is to be assigned, which
    # tests/kedro/test_kedro_objects.py would notice.
    mode: str | None = getattr(dataset, "copy_mode", None) or getattr(dataset, "_copy_mode", None)
    return mode


def data_in_memory(dataset: DatasetLike | None) -> Data:
    """The data of a memory dataset, not copied, to measure its size; the dataset itself if it keeps the data elsewhere."""
    # `_data` of Penstock's and Kedro's `MemoryDataset`: without it large data of Kedro's datasets would be taken for small
    # and be sent with every task, which tests/kedro/test_kedro_objects.py would notice.
    return getattr(dataset, "_data", dataset)


# Datasets of plugins


def is_saved_by_call(dataset: DatasetLike | None) -> bool:
    """Whether a dataset is saved in the thread that has called the node: kedro-mlflow saves into the run that its hook opened there."""
    return any(cls.__module__.startswith("kedro_mlflow.") for cls in type(dataset).__mro__)


# Cached datasets


def is_cached(dataset: DatasetLike | None) -> bool:
    """Whether this is a `CachedDataset` of Penstock or Kedro."""
    return any(cls.__name__ == "CachedDataset" for cls in type(dataset).__mro__)


def inner_dataset(cached: Any) -> Any:
    """The dataset whose data a `CachedDataset` of Penstock or Kedro caches."""
    # Kedro's `CachedDataset._dataset`: without it cached datasets of Kedro could not be sent to other processes, which
    # tests/kedro/test_kedro_objects.py would notice.
    return cached.dataset if hasattr(cached, "dataset") else cached._dataset  # noqa: SLF001 - see above


def release_cache(cached: Any) -> None:
    """Have a `CachedDataset` of Penstock or Kedro forget the data that it caches, and only that."""
    # `_cache` of both: without it the driver would load what an earlier run saved, which tests/kedro/test_kedro_objects.py
    # would notice.
    cached._cache.release()  # noqa: SLF001 - see above


@contextlib.contextmanager
def pickling_caches_quietly() -> Iterator[None]:
    """Inside this block, no `CachedDataset` of Penstock or Kedro logs that it is pickled without its cache.

    Plugins that keep the catalog are pickled several times in a run, and nothing of the run is lost.
    """
    loggers = [logging.getLogger(name) for name in ("penstock.io.cached", "kedro.io.cached_dataset")]

    def is_shown(record: logging.LogRecord) -> bool:
        return "pickle" not in str(record.msg)

    for logger in loggers:
        logger.addFilter(is_shown)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_shown)


# Datasets of files


def release_file_cache(dataset: Any) -> None:
    """Have a dataset of files forget versions and listings of files, since another process may have changed the files.

    If the dataset cannot forget them, it stays as it is: the error goes to the log.
    """
    attributes = getattr(dataset, "__dict__", ())
    if not any(hasattr(type(dataset), name) or name in attributes for name in _FILE_CACHE_ATTRIBUTES):
        return
    try:
        dataset.release()
    except Exception as error:  # noqa: BLE001 - a user's dataset may raise anything
        _LOG.debug("%s was not released: %s", type(dataset).__name__, error)


def local_path(dataset: Any) -> str | None:
    """The path of a dataset of files on this machine: Penstock's, or one of `kedro-datasets`; None for any other dataset."""
    location = getattr(dataset, "_location", None)
    if location is not None:
        return str(location.url) if getattr(location, "is_local", False) else None
    # `_filepath`, `_path` and `_protocol` of `kedro-datasets`: without them a cluster would not be checked for files that only
    # the driver's machine has, which tests/kedro/test_kedro_objects.py would notice.
    path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    is_local = getattr(dataset, "_protocol", "file") in _LOCAL_PROTOCOLS and "://" not in str(path)
    return str(path) if path is not None and is_local else None


def missing_file(dataset: Any) -> str | None:
    """The path from which a dataset would load and where there is nothing on this machine; None if it could load, or none can tell.

    A versioned dataset of Kedro loads from a folder of this path.
    """
    if is_plain_memory(dataset):
        return None
    if is_cached(dataset):
        return None if dataset.exists() else missing_file(inner_dataset(dataset))
    # `_path` of `kedro-datasets` is a folder that may be empty, or not be there yet.
    has_file = any(getattr(dataset, name, None) is not None for name in ("_location", "_filepath"))
    path = local_path(dataset) if has_file else None
    if path is None or _PATTERN.intersection(path):
        return None
    return None if os.path.exists(path) else path  # noqa: PTH110 - a folder that may not be read is no error here


def appends(dataset: Any) -> bool:
    """Whether the arguments of a dataset say that a save adds to what is stored: one of `kedro-datasets`, or one like it.

    Datasets of partitions count as well: a save leaves the partitions that it does not name.
    """
    # `_save_args` and its like of `kedro-datasets`: without them a generator's chunks would be said to be replaced, which
    # tests/kedro/test_kedro_objects.py would notice.
    if any(cls.__name__ == "PartitionedDataset" for cls in type(dataset).__mro__):
        return not getattr(dataset, "_overwrite", False)
    opening = getattr(dataset, "_fs_open_args_save", None)
    # A file that the dataset itself opens is appended to only if it is opened so.
    arguments = getattr(dataset, "_save_args", None) if opening is None else opening
    given = arguments if isinstance(arguments, Mapping) else {}
    return given.get("mode") in _APPENDING_MODES or given.get("if_exists") == "append"


def is_kedros_file(dataset: Any) -> bool:
    """Whether this is a dataset of `kedro-datasets` that writes one file: a save replaces it, unless it appends."""
    return type(dataset).__module__.startswith("kedro_datasets.") and hasattr(dataset, "_fs")


# Catalogs


def validators_of(catalog: CatalogLike) -> Mapping[str, Any]:
    """The validators that the catalog checks data with, by the name of the dataset. Only Kedro's catalogs have any, from 1.7 on."""
    return getattr(catalog, "validator_specs", None) or {}


def catalog_like(
    catalog: CatalogLike, datasets: Mapping[str, DatasetLike], default: type[CatalogLike]
) -> CatalogLike:
    """A catalog of the same class with only these datasets and their validators.

    Args:
        catalog: Of any class.
        datasets: What the new catalog holds, by name.
        default: The class of the new catalog if another process cannot import the class, or it does not take `datasets`.
    """
    new: CatalogLike = _class_to_send(type(catalog), default)(datasets=datasets)
    validators = {name: each for name, each in validators_of(catalog).items() if name in datasets}
    if validators:
        # Kedro's `DataCatalog._validator_specs`: without it workers would not validate data, which
        # tests/kedro/test_kedro_objects.py would notice.
        vars(new)["_validator_specs"].update(validators)
        vars(new)["validation_enabled"] = vars(catalog)["validation_enabled"]
    return new


@functools.lru_cache
def _class_to_send(cls: type, default: type) -> Any:
    """The nearest class of a catalog that another process can import, and that is made of datasets."""
    for base in cls.__mro__:
        if base is default or (_is_importable(base) and _takes_datasets(base)):
            return base
    return default


def _is_importable(cls: type) -> bool:
    """Whether another process finds the class by its name. Kedro's sessions make the class of their catalog at run time."""
    module = sys.modules.get(cls.__module__)
    return getattr(module, cls.__qualname__, None) is cls and hasattr(cls, "load")


def _takes_datasets(cls: type) -> bool:
    parameters = list(inspect.signature(cls).parameters.values())
    needed = [each for each in parameters if each.default is each.empty and each.kind < each.VAR_POSITIONAL]
    return any(each.name == "datasets" for each in parameters) and not needed


# Errors


def raise_with_dataset_name(error: Exception, name: str) -> NoReturn:
    """Raise the error of a dataset with the dataset's name in front, as catalogs write it; any other error as it is.

    A subclass of `DatasetError` stays as it is: the errors of Kedro's validators name the dataset themselves.
    """
    if type(error).__name__ == DatasetError.__name__ and not str(error).startswith(f"{name}: "):
        raise DatasetError(f"{name}: {error}") from error
    raise error
