"""Who speaks: the node whose work goes on here is named on all that it logs, the same on every runner."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.graph.work import Work

AT_WORK: ContextVar[Work | None] = ContextVar("penstock_at_work", default=None)
"""The work that this thread does; threads of ours take it along."""

Who = Callable[[], "Work | None"]


class ContextPool(ThreadPoolExecutor):
    """Threads that see the context variables of whoever submits, as Dask's own do."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the function in a copy of this thread's context."""
        return super().submit(copy_context().run, fn, *args, **kwargs)


def is_dasks(logger: str) -> bool:
    """Whether a logger is one of Dask's, which tells of the scheduler and of workers and not of nodes."""
    return logger == "distributed" or logger.startswith("distributed.")


class _Naming:
    """A factory of log records which names the node that speaks: in `record.node`, and before the message."""

    def __init__(self, factory: Callable[..., logging.LogRecord], who: Who) -> None:
        self.factory = factory
        self._who = who

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.factory(*args, **kwargs)
        work = self._who()
        # It has the attribute where somebody has wrapped an earlier one of these.
        if work is not None and not hasattr(record, "node") and record.name and not is_dasks(record.name):
            node = work.node.name
            record.node = node
            record.msg = f"{node.replace('%', '%%') if record.args else node}: {record.msg}"
        return record


_lock = threading.Lock()
_users = 0
_naming: _Naming | None = None


@contextlib.contextmanager
def nodes_named(who: Who = AT_WORK.get) -> Iterator[None]:
    """While this is open, in however many threads, records that a node logs in this process carry its name."""
    global _users, _naming  # noqa: PLW0603 - the factory is one for the whole process
    with _lock:
        if not _users:
            _naming = _Naming(logging.getLogRecordFactory(), who)
            logging.setLogRecordFactory(_naming)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            # Left where it is if somebody has wrapped it meanwhile: it does nothing outside of runs.
            if not _users and _naming is not None and logging.getLogRecordFactory() is _naming:
                logging.setLogRecordFactory(_naming.factory)
