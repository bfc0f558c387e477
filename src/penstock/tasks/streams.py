"""What a generator node yields: each chunk is saved when it comes.

A dataset with a method `open_stream` keeps all chunks, for instance in one file that appears whole when the stream ends. In any
other dataset a chunk replaces the one before, unless its own `save` appends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from penstock.io.catalog import DataCatalog
from penstock.io.dataset import is_dataset
from penstock.io.files import FileDataset
from penstock.io.kedro_objects import (
    appends,
    catalog_like,
    inner_dataset,
    is_cached,
    is_kedros_file,
    is_plain_memory,
    raise_with_dataset_name,
    release_cache,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from penstock._typing import Data, DatasetLike
    from penstock.tasks.bindings import OutputBinding

_LOG = logging.getLogger(__name__)


class OutputStream:
    """Saves the chunks of one output of a node."""

    def __init__(self, name: str, binding: OutputBinding) -> None:
        self.name = name
        self.binding = binding
        self.count = 0
        self.last = None

    def save(self, chunk: Data) -> None:
        """Save one chunk."""
        self.last = self.binding.write(self.name, chunk)
        self.count += 1

    def value(self) -> Data:
        """The value for the graph, when all chunks are saved: the last chunk."""
        return self.last if self.count else self.binding.unchanged(self.name)


class JoinedStream(OutputStream):
    """Saves the chunks of one output to a dataset that keeps them all."""

    def __init__(self, name: str, binding: OutputBinding, stream: DatasetLike) -> None:
        super().__init__(name, binding)
        self.catalog = binding.catalog and catalog_like(binding.catalog, {name: stream}, DataCatalog)
        self.stream = stream

    def save(self, chunk: Data) -> None:
        """Save one chunk. The catalog does it, if there is one: it logs, and may validate."""
        if self.catalog is not None:
            self.catalog.save(self.name, chunk)
        else:
            self.stream.save(chunk)

    def value(self) -> Data:
        """The dataset, if readers get the data from the graph: they load all chunks."""
        return self.binding.unchanged(self.name)


@contextmanager
def open_output(name: str, binding: OutputBinding) -> Iterator[OutputStream]:
    """The stream to which the chunks of one output are saved. When the block ends, the data is stored."""
    dataset: Any = binding.catalog[name] if binding.catalog is not None else binding.dataset
    stored = inner_dataset(dataset) if is_cached(dataset) else dataset
    opened = stored.open_stream() if callable(getattr(type(stored), "open_stream", None)) else None
    if opened is None:
        output = OutputStream(name, binding)
        yield output
        if output.count > 1 and not appends(stored):
            _warn_of_replaced(name, stored, output.count)
        return
    with _naming_errors(opened, name) as stream:
        yield JoinedStream(name, binding, stream)
    if is_cached(dataset):
        # It may have data of before.
        release_cache(dataset)


@contextmanager
def _naming_errors(opened: AbstractContextManager[Any], name: str) -> Iterator[DatasetLike]:
    """The stream of a dataset; its errors begin with the dataset's name, those of the block stay as they are."""
    of_the_block = None
    try:
        with opened as stream:
            if not is_dataset(stream):
                raise TypeError(f"{name}: open_stream() must give a dataset, not a {type(stream).__name__}")  # noqa: TRY301 - closes the stream
            try:
                yield stream
            except BaseException as error:
                of_the_block = error
                raise
    except Exception as error:
        if error is of_the_block:
            raise
        raise_with_dataset_name(error, name)


def _warn_of_replaced(name: str, dataset: DatasetLike | None, count: int) -> None:
    if is_plain_memory(dataset) or isinstance(dataset, FileDataset) or is_kedros_file(dataset):
        what = f"only the last one is left, the {count - 1} before it were replaced"
    else:
        what = f"unless its save appends, the last one has replaced the {count - 1} before it"
    _LOG.warning("Dataset %r got %d chunks: %s", name, count, what)
