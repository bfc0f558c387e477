"""A dataset that is loaded once and then remembered."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from penstock.io.dataset import AbstractDataset, is_dataset
from penstock.io.memory import MemoryDataset

if TYPE_CHECKING:
    from penstock._typing import Data, DatasetLike

_LOG = logging.getLogger(__name__)


class CachedDataset(AbstractDataset):
    """A dataset whose data is also kept in memory: loaded once, written through.

    Args:
        dataset: The dataset that keeps the data; public as `dataset`.
        copy_mode: How the remembered data is copied for each reader, as in `MemoryDataset`.
        metadata: Anything; kept for the user's own tools.

    Raises:
        ValueError: `dataset` is not a dataset.
    """

    _EPHEMERAL = True

    def __init__(self, dataset: DatasetLike, copy_mode: str | None = None, metadata: Any = None) -> None:
        if not is_dataset(dataset):
            raise ValueError(f"CachedDataset wraps a dataset; got a {type(dataset).__name__}")
        self.dataset = dataset
        self.copy_mode = copy_mode
        self.metadata = metadata
        self._cache = MemoryDataset(copy_mode=copy_mode)
        if getattr(dataset, "_SINGLE_PROCESS", False):
            self._SINGLE_PROCESS = True

    def load(self) -> Data:
        """The remembered data; the first time, what the dataset gives.

        Raises:
            DatasetError: the dataset could not be loaded, or its data cannot be copied.
        """
        # A release by another thread puts an empty cache in the place of this one and leaves this one as it is.
        cache = self._cache
        if cache.exists():
            return cache.load()
        data = self.dataset.load()
        loaded = MemoryDataset(data, copy_mode=self.copy_mode)
        # Unless somebody has saved or released meanwhile.
        if self._cache is cache:
            self._cache = loaded
        return data

    def save(self, data: Data) -> None:
        """Save to the dataset, then remember the data.

        Raises:
            DatasetError: the data could not be saved (the cache is as before), or cannot be copied.
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
            _LOG.warning("%s travels without what it remembers: it is loaded again where it arrives", self)
        return {**vars(self), "_cache": MemoryDataset(copy_mode=self.copy_mode)}
