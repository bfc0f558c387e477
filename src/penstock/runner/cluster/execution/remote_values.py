"""Outputs that stay on a cluster until somebody loads them."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client, Future

    from penstock._typing import Data
    from penstock.io.memory import Deferred


def staying(stack: contextlib.ExitStack, futures: list[Future]) -> list[Deferred]:
    """The outputs, which stay where they are; the stack is closed when none of them is wanted any more."""
    stay = Stay(stack, len(futures))
    return [Remote(stay, future) for future in futures]


class Stay:
    """Outputs that stay on a cluster, and the client that keeps them there until the last one is fetched or forgotten.

    Args:
        stack: Closes the client, if it was opened for the run.
        outputs: How many there are.
    """

    def __init__(self, stack: contextlib.ExitStack, outputs: int) -> None:
        self._stack = stack
        self._lock = threading.Lock()
        self._left = outputs

    def leave(self) -> None:
        """One output less."""
        with self._lock:
            self._left -= 1
            if self._left:
                return
        # In a thread of its own: the last output may be forgotten on the client's own loop, which closing waits for.
        threading.Thread(target=self._stack.close, name="penstock-close").start()


class Remote:
    """An output in a worker's memory."""

    def __init__(self, stay: Stay, future: Future) -> None:
        self.future = future
        self._leave = weakref.finalize(self, stay.leave)
        # At the end of the process Dask closes its clients itself.
        self._leave.atexit = False

    def is_on(self, client: Client) -> bool:
        """Whether the client's tasks can take the value where it is."""
        return self.future.client is client

    def fetch(self) -> Data:
        """The value, brought here."""
        value = self.future.result()
        self.future.release()
        self._leave()
        return value
