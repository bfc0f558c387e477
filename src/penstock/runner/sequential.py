"""The runner on Dask's synchronous scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dask.local

from penstock.runner.abstract import AbstractRunner

if TYPE_CHECKING:
    from penstock._typing import Data


class SequentialRunner(AbstractRunner):
    """Runs one task at a time on the calling thread: the runner to debug with.

    Args:
        is_async: Each node loads its inputs at the same time and saves its outputs at the same time, in threads.
        policies: How nodes run: a `NodePolicy`, or a dict of its fields, by the name of a node, a namespace or a tag.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        RunnerError: An argument is not of its type, or a policy makes no sense.

    Example:
        >>> from penstock import DataCatalog, SequentialRunner
        >>> from penstock.pipeline import node, pipeline
        >>> count = node(len, "text", "length", name="count")
        >>> SequentialRunner().run(pipeline([count]), DataCatalog({"text": "penstock"}))["length"].load()
        8
    """

    def get(self, graph: Mapping[str, Any], keys: Sequence[str]) -> Sequence[Data]:
        """The values of `keys`, in their order, after all that they need has run.

        Args:
            graph: A Dask graph.
            keys: Keys of the graph.
        """
        # What `dask.local.get_sync` does, without its `Future`s and with the first failure ending the run.
        values: Sequence[Data] = dask.local.get_async(_Batch, 1, dict(graph), list(keys), chunksize=1)
        return values


class _Batch:
    """A batch of tasks for `dask.local.get_async`, which runs as soon as Dask submits it, on Dask's own thread."""

    __slots__ = ("_results",)

    def __init__(self, execute: Callable[[list[Any]], list[Any]], tasks: list[Any]) -> None:
        self._results = execute(tasks)

    def add_done_callback(self, call_back: Callable[[_Batch], None]) -> None:
        """Call back at once: the batch is done."""
        call_back(self)

    def result(self) -> list[Any]:
        """One result for each task."""
        return self._results
