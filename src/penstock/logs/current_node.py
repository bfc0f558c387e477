"""The node that runs on this thread: its name stands on all that it logs, the same on every runner."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from penstock.logs.channel import Channel


class CurrentNode(NamedTuple):
    """A node, and where its log records and prints go."""

    name: str
    channel: Channel | None
    """Takes them to the driver; None where this process handles them itself."""


CURRENT_NODE: ContextVar[CurrentNode | None] = ContextVar("penstock_current_node", default=None)
"""The node that runs on this thread; threads that Penstock starts inherit it."""

FindNode = Callable[[], "CurrentNode | None"]


def is_dask_logger(name: str) -> bool:
    """Whether a logger belongs to Dask: it writes about the scheduler and workers, not about nodes."""
    return name == "distributed" or name.startswith("distributed.")


def add_node_name(record: logging.LogRecord, find_node: FindNode) -> logging.LogRecord:
    """The record, with the current node's name in `record.node`, unless the node has set that itself, and before a text without it."""
    node = find_node()
    if node is None or is_dask_logger(record.name):
        return record
    if not hasattr(record, "node"):
        record.node = node.name
    if isinstance(record.msg, str) and not _is_named(record, node.name):
        record.msg = f"{node.name.replace('%', '%%') if record.args else node.name}: {record.msg}"
    return record


def _is_named(record: logging.LogRecord, name: str) -> bool:
    """Whether the text of a record about a node names it already."""
    return record.name in _ABOUT_NODES and name in record.getMessage()


_ABOUT_NODES = frozenset({"penstock.pipeline.node", "kedro.pipeline.node"})


@contextlib.contextmanager
def current_node_restored() -> Iterator[None]:
    """On exit, this thread's current node is the one from before, also when Ctrl-C kept a node from resetting it."""
    before = CURRENT_NODE.get()
    try:
        yield
    finally:
        CURRENT_NODE.set(before)


@contextlib.contextmanager
def replaced(owner: Any, name: str, replacement: Any) -> Iterator[None]:
    """Replace an attribute for the length of a block. If another library replaces it as well, its replacement stays."""
    before = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        if getattr(owner, name) is replacement:
            setattr(owner, name, before)


_lock = threading.Lock()
_users = 0
_replaced = contextlib.ExitStack()
_naming: Any = None
"""The `makeRecord` that adds names, while there are users."""


def _with_node_names(
    make: Callable[..., logging.LogRecord], find_node: FindNode
) -> Callable[..., logging.LogRecord]:
    def make_record(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        # Called first: `extra` may hold an attribute called `node`.
        record = make(self, *args, **kwargs)
        # Another library may have wrapped an earlier `make_record`, which must do nothing by then.
        return add_node_name(record, find_node) if _naming is make_record else record

    return make_record


@contextlib.contextmanager
def naming_nodes(find_node: FindNode = CURRENT_NODE.get) -> Iterator[None]:
    """Inside this block, log records of nodes in this process carry the node's name. Blocks may overlap, in any threads."""
    global _users, _naming  # noqa: PLW0603 - loggers are one for the whole process
    with _lock:
        if not _users:
            _naming = _with_node_names(logging.Logger.makeRecord, find_node)
            _replaced.enter_context(replaced(logging.Logger, "makeRecord", _naming))
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _replaced.close()
                _naming = None
