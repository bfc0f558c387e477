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
    from penstock.tasks.dataset_tasks import Work

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


@contextlib.contextmanager
def work_kept() -> Iterator[None]:
    """When this is left, this thread does the work that it did before, though an interrupt kept a node from ending its own."""
    before = AT_WORK.get()
    try:
        yield
    finally:
        AT_WORK.set(before)


_lock = threading.Lock()
_users = 0
_naming: Any = None
"""What makes records while there are users."""
_before: Any = None
"""What made them before."""


def _made_named(make: Callable[..., logging.LogRecord], who: Who) -> Callable[..., logging.LogRecord]:
    def make_record(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        # After the attributes that a node gives to its record itself, one of which may be called `node`.
        record = make(self, *args, **kwargs)
        # Somebody may have put something round an earlier one, which then does nothing.
        return name_node(record, who) if _naming is make_record else record

    return make_record


@contextlib.contextmanager
def nodes_named(who: Who = AT_WORK.get) -> Iterator[None]:
    """While this is open, in however many threads, records that a node logs in this process carry its name."""
    global _users, _naming, _before  # noqa: PLW0603 - loggers are one for the whole process
    cls: Any = logging.Logger
    with _lock:
        if not _users:
            _before = cls.makeRecord
            _naming = cls.makeRecord = _made_named(_before, who)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                if cls.makeRecord is _naming:
                    cls.makeRecord = _before
                _naming = None
