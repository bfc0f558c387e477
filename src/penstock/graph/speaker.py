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


def name_node(record: logging.LogRecord, who: Who) -> logging.LogRecord:
    """The record with the node that speaks, if one does: in `record.node`, unless the node says otherwise, and before the text."""
    work = who()
    if work is None or is_dasks(record.name):
        return record
    node = work.node.name
    if not hasattr(record, "node"):
        record.node = node
    if isinstance(record.msg, str):
        record.msg = f"{node.replace('%', '%%') if record.args else node}: {record.msg}"
    return record


_lock = threading.Lock()
_users = 0
_who: Who = AT_WORK.get
_made = logging.Logger.makeRecord


def _makes_named(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
    # After the attributes that a node gives to its record itself, one of which may be called `node`.
    record = _made(self, *args, **kwargs)
    return name_node(record, _who) if _users else record


@contextlib.contextmanager
def nodes_named(who: Who = AT_WORK.get) -> Iterator[None]:
    """While this is open, in however many threads, records that a node logs in this process carry its name."""
    global _users, _who, _made  # noqa: PLW0603 - loggers are one for the whole process
    cls: Any = logging.Logger
    with _lock:
        if not _users:
            _who = who
            if not _is_ours(cls.makeRecord):
                _made, cls.makeRecord = cls.makeRecord, _makes_named
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            # Left where it is if somebody has wrapped it meanwhile: it does nothing outside of runs.
            if not _users and cls.makeRecord is _makes_named:
                cls.makeRecord = _made


def _is_ours(make: Any) -> bool:
    """Whether it is ours, or was put round it."""
    while make is not _makes_named:
        make = getattr(make, "__wrapped__", None)
        if make is None:
            return False
    return True
