"""Tasks that load datasets, and what they hand over.

Most loaded values can be sent to any process. Some cannot: readers of files, cursors, lazy tables, generators. Where tasks leave this
process, a load task pickles what may be of that kind, once, and hands over a `LoadedValue`: the pickle, or for a value that cannot be
pickled only the load itself, which the reader then does again where it is.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock._pickling import pickled_with_buffers, why_not_sendable
from penstock.errors import CannotSendError
from penstock.hooks.calls import NO_HOOKS
from penstock.tasks.base import Work
from penstock.tasks.node_steps import Seconds, load_dataset
from penstock.tasks.values import NOTHING, MultipleOutputs, SentValue, always_travels

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data
    from penstock.hooks import Hooks

_LOG = logging.getLogger(__name__)

MAX_STAYING = 10_000
"""How many datasets a process remembers whose values do not travel."""

_staying: dict[tuple[str | None, str], None] = {}
"""The runs and datasets whose values do not travel, as far as this process has seen."""


@dataclass(eq=False, slots=True)
class Load(Work):
    """Loads a stored dataset for its one reader."""

    dataset: str
    catalog: CatalogLike
    times: int = 1
    """How often the node names the dataset: it is loaded, and hooks fire, as often."""
    kind = "load"
    uses_values = False
    is_shared = False
    """Whether several nodes read what it loads."""

    def __str__(self) -> str:
        return f"the load of {self.dataset!r} for node {self.node.name!r}"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:  # noqa: ARG002
        """The stored data."""
        clock = time.perf_counter()
        data = loaded_to_send(self, hooks) if self.context.backend.leaves_process else self.load(hooks)
        return data, (time.perf_counter() - clock, 0.0, 0.0)

    def load(
        self, hooks: Hooks, read: Callable[[str], Data] | None = None, *, has_begun: bool = False
    ) -> Data:
        """The stored data; its hooks fire.

        Args:
            hooks: The hooks.
            read: Loads the dataset by its name; by default `load` of the catalog.
            has_begun: Whether the hook before the load has fired.
        """
        self.release_file_cache(self.catalog[self.dataset])
        for number in range(self.times):
            data = load_dataset(
                read or self.catalog.load, self.dataset, self.node, hooks, has_begun and not number
            )
        return data


@dataclass(eq=False, slots=True)
class LoadToConfirm(Load):
    """Loads a dataset that is confirmed afterwards, perhaps in another process: what it knows after the load is handed on."""

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[MultipleOutputs, Seconds]:
        """The stored data, and the dataset."""
        data, seconds = Load.do(self, values, hooks)
        dataset = self.catalog[self.dataset]
        reason = why_not_sendable(dataset)
        if reason is not None:
            raise CannotSendError({f"dataset {self.dataset!r}, which is confirmed, after its load": reason})
        return MultipleOutputs((data, dataset)), seconds


@dataclass(eq=False, slots=True)
class SharedLoad(Load):
    """Loads a cached dataset once for all nodes that read it; their own tasks fire the hooks."""

    is_shared = True

    def __str__(self) -> str:
        return f"{Load.__str__(self)} and all other nodes that read it"

    def do(self, values: tuple[Data, ...], hooks: Hooks) -> tuple[Data, Seconds]:  # noqa: ARG002
        """The data, from the cache or from the dataset in it."""
        return Load.do(self, values, NO_HOOKS)


class LoadedValue:
    """A loaded value on its way from its load task to the node that reads it.

    In one process the value itself is handed on. Another process gets the pickle, if there is one. If not, or if it cannot be
    unpickled there, the dataset is loaded again.

    Args:
        load: The load task.
        sent: The value with its pickle; None if it does not travel.
        has_begun: Whether the hook before the load has fired and the hook after it has not.
    """

    def __init__(self, load: Load, sent: SentValue | None = None, has_begun: bool = False) -> None:  # noqa: FBT001, FBT002 - a pickle passes it
        self.load = load
        self.sent = sent
        self.has_begun = has_begun
        self.value: Data = NOTHING
        """The value, if it is in this process."""
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.sent is None and not self.load.is_shared:
            # Its one reader is in another process, and loads it there.
            self._close()
        return LoadedValue, (self.load, self.sent, self.has_begun)

    def __sizeof__(self) -> int:
        return 0 if self.sent is None else self.sent.__sizeof__()

    def open(self, hooks: Hooks = NO_HOOKS) -> Data:
        """The value. If the dataset is loaded for this, its hooks fire."""
        with self._lock:
            value = self._unpickled() if self.value is NOTHING and self.sent is not None else self.value
            if value is NOTHING or self.has_begun:
                read = self.load.catalog.load if value is NOTHING else lambda _: value
                value = self.load.load(NO_HOOKS if self.sent else hooks, read, has_begun=self.has_begun)
            if self.is_kept:
                self.value = value
            return value

    @property
    def is_kept(self) -> bool:
        """Whether all readers of one process get the same object, so that each needs a copy."""
        return self.load.is_shared and self.sent is None

    def _unpickled(self) -> Data:
        try:
            return self.sent.open() if self.sent is not None else NOTHING
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises
            _LOG.info("%s is done again in this process, where its pickle raised %r", self.load, error)
            return NOTHING

    def _close(self) -> None:
        value, self.value = self.value, NOTHING
        with contextlib.suppress(Exception):
            value.close()


class _StaysHere(Exception):  # noqa: N818 - no error
    """The value does not travel."""


def loaded_to_send(load: Load, hooks: Hooks) -> Data:
    """What a load task hands over that may be read in another process: the data, if it always travels, or a `LoadedValue`."""
    key = load.context.run_id, load.dataset
    loaded = LoadedValue(load)
    if key in _staying:
        return loaded
    try:
        data = load.load(hooks, lambda name: _kept(loaded, load.catalog.load(name)))
    except _StaysHere as reason:
        if len(_staying) >= MAX_STAYING:
            _staying.clear()
        _staying[key] = None
        loaded.has_begun = not load.is_shared
        _LOG.info("The data of %s does not travel (%s): nodes load it where they run", load, reason)
        return loaded
    return data if loaded.value is NOTHING else loaded


def _kept(loaded: LoadedValue, data: Data) -> Data:
    """The data. Unless it always travels, `loaded` keeps it with its pickle."""
    if always_travels(data):
        return data
    loaded.value = data
    if type(data).__module__.partition(".")[0] == "ibis":
        # Its pickle leaves out the connection: the copy fails when it is used.
        raise _StaysHere("an ibis table works with the connection that made it")
    try:
        loaded.sent = SentValue(data, pickled_with_buffers(data))
    except Exception as error:
        raise _StaysHere(f"{type(error).__name__}: {error}") from error
    return data
