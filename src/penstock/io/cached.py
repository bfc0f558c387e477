"""A dataset that keeps the data of another dataset in memory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from penstock.io.dataset import AbstractDataset, is_dataset
from penstock.io.memory import MemoryDataset

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike

_LOG = logging.getLogger(__name__)


class CachedDataset(AbstractDataset):
    """A cache around another dataset: data is loaded from it once, and each save writes to both.

    In a run, all nodes that read the dataset share one load.

    Args:
        dataset: The dataset that stores the data; also the attribute `dataset`.
        copy_mode: How the cached data is copied for each reader, as in `MemoryDataset`.
        metadata: Anything; kept for the user's own tools.

    Raises:
        ValueError: `dataset` is not a dataset.

    Example:
        >>> from penstock.io import CachedDataset, JSONDataset
        >>> metrics = CachedDataset(JSONDataset("metrics.json"))
        >>> metrics.save({"rmse": 0.5})
        >>> metrics.dataset.load()
        {'rmse': 0.5}
        >>> metrics.dataset.save({"rmse": 0.75})
        >>> metrics.load()
        {'rmse': 0.5}
        >>> metrics.release()
        >>> metrics.load()
        {'rmse': 0.75}
    """

    _EPHEMERAL = True

    def __init__(self, dataset: DatasetLike, copy_mode: str | None = None, metadata: Any = None) -> None:
        if not is_dataset(dataset):
            raise ValueError(f"dataset must be a dataset, not a {type(dataset).__name__}")
        self.dataset = dataset
        self.copy_mode = copy_mode
        self.metadata = metadata
        self._cache = MemoryDataset(copy_mode=copy_mode)
        if getattr(dataset, "_SINGLE_PROCESS", False):
            self._SINGLE_PROCESS = True

    def load(self) -> Data:
        """Load the data from the cache; if the cache is empty, from the dataset.

        Returns:
            The data.

        Raises:
            DatasetError: The dataset cannot be loaded, or its data cannot be copied.
        """
        # A release by another thread replaces `self._cache`; this object stays as it is.
        cache = self._cache
        if cache.exists():
            return cache.load()
        data = self.dataset.load()
        loaded = MemoryDataset(data, copy_mode=self.copy_mode)
        # Unless another thread has saved or released in the meantime.
        if self._cache is cache:
            self._cache = loaded
        return data

    def save(self, data: Data) -> None:
        """Save the data to the dataset, then to the cache.

        Args:
            data: The new data.

        Raises:
            DatasetError: The data cannot be saved (the cache stays as it was), or cannot be copied.
        """
        self.dataset.save(data)
        self._cache = MemoryDataset(data, copy_mode=self.copy_mode)

    def _exists(self) -> bool:
        return self._cache.exists() or self.dataset.exists()

    def _release(self) -> None:
        self._cache = MemoryDataset(copy_mode=self.copy_mode)
        self.dataset.release()

    def _describe(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "cache": self._cache}

    def __getstate__(self) -> dict[str, Any]:
        if self._cache.exists():
            _LOG.warning(
                "%s is pickled without its cached data, which is loaded again where it is needed", self
            )
        return {**vars(self), "_cache": MemoryDataset(copy_mode=self.copy_mode)}
