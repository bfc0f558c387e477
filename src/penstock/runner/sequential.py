"""The runner on Dask's synchronous scheduler."""

from __future__ import annotations

from penstock.runner.abstract import AbstractRunner


class SequentialRunner(AbstractRunner):
    """Runs one task at a time on the calling thread: the place to debug.

    Args:
        is_async: Each node loads its inputs at once and saves its outputs at once, in threads.
        policies: How nodes are run, by their names, namespaces or tags.
        progress: Show a bar, on a terminal or in a notebook.
    """
