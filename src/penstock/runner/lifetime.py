"""Whether a runner is open, and what it keeps while it is: worker processes or a cluster, for all runs in between."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock.errors import RunnerError

if TYPE_CHECKING:
    from typing_extensions import Self

_NEW, _OPENING, _OPEN, _CLOSED = "new", "opening", "open", "closed"


class Lifetime:
    """The state of one runner. A closed runner can be opened again; a copy of a runner, and a pickled one, is not open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = _NEW
        self._process = os.getpid()
        self._stack = contextlib.ExitStack()
        self._kept: Any = None

    @property
    def _is_inherited(self) -> bool:
        """Whether another process has opened the runner, of which this one is a fork."""
        return self._state == _OPEN and self._process != os.getpid()

    @property
    def text(self) -> str:
        """The state for the runner's `repr`; empty if the runner was never opened."""
        if self._is_inherited:
            return f"open in process {self._process}"
        return "" if self._state == _NEW else self._state

    def open(self, runner: str, start: Callable[[contextlib.ExitStack], Any]) -> None:
        """Start what the runner keeps.

        Args:
            runner: The name of the runner's class.
            start: Starts it. What it pushes on the stack ends it.

        Raises:
            RunnerError: The runner is open, or another thread is opening it.
        """
        if self._process != os.getpid():
            self._forget()
        with self._lock:
            if self._state in {_OPENING, _OPEN}:
                raise RunnerError(
                    f"This {runner} is {self._state} already. Enter one `with` block round all runs, "
                    "or use another runner for the second block"
                )
            before, self._state = self._state, _OPENING
        # Ctrl-C may come between any two of these lines.
        stack = self._stack = contextlib.ExitStack()
        try:
            self._kept = start(stack)
            self._state = _OPEN
        except BaseException:
            try:
                stack.close()
            finally:
                self._kept, self._state = None, before
            raise

    def close(self) -> None:
        """End what the runner keeps. Does nothing if the runner is not open; a fork of the process ends nothing of its parent."""
        if self._is_inherited:
            self._forget()
            self._state = _CLOSED
        with self._lock:
            if self._state != _OPEN:
                return
            self._state = _CLOSED
            stack, self._stack, self._kept = self._stack, contextlib.ExitStack(), None
        stack.close()

    def kept(self, runner: str) -> Any:
        """What the runner keeps; None if it is not open, or keeps nothing.

        Args:
            runner: The name of the runner's class.

        Raises:
            RunnerError: The runner is closed, or was opened by the process that this one was forked from.
        """
        if self._state == _CLOSED:
            raise RunnerError(
                f"This {runner} is closed. Open it again with `with runner:` or runner.open(), or make a new one"
            )
        if self._is_inherited:
            raise RunnerError(
                f"This {runner} was opened in process {self._process}, and this is process {os.getpid()}, a fork of it, "
                "which cannot use the workers of its parent. Make a runner in the fork, or open the runner after the fork"
            )
        return self._kept

    def _forget(self) -> None:
        """In a fork of the process: let go of what belongs to the parent, without ending it."""
        self._stack.pop_all()
        self._stack, self._kept, self._state = contextlib.ExitStack(), None, _NEW
        self._lock, self._process = threading.Lock(), os.getpid()


class Openable:
    """The part of a runner that says how long the workers live which it starts: for one run, or for all runs of a block."""

    _lifetime: Lifetime | None = None
    """None until the runner is opened for the first time."""

    def __getstate__(self) -> dict[str, Any]:
        """The state of a copy, which is not open."""
        return {name: value for name, value in vars(self).items() if name != "_lifetime"}

    def open(self) -> Self:
        """Keep what the runner starts for all runs until `close`: worker processes, or the cluster of a `DaskRunner` that starts one.

        Outside of that, each run starts them and ends them. Runs may be at once, from several threads; they share the workers. A
        runner that starts neither keeps nothing, and can be opened all the same. A closed runner can be opened again.

        Returns:
            The runner.

        Raises:
            RunnerError: The runner is open already.
            ClusterError: The cluster could not be started.

        Example:
            >>> from penstock import SequentialRunner
            >>> runner = SequentialRunner().open()
            >>> runner
            <penstock.runner.sequential.SequentialRunner(), open>
            >>> runner.close()
        """
        # Not in `__init__`, which a runner of a user's own may not call.
        lifetime: Lifetime = vars(self).setdefault("_lifetime", Lifetime())
        lifetime.open(type(self).__name__, self._start_kept)
        return self

    def close(self) -> None:
        """End the workers that the runner keeps. A run that goes on in another thread fails. Does nothing if the runner is not open.

        Example:
            >>> from penstock import SequentialRunner
            >>> runner = SequentialRunner().open()
            >>> runner.close()
            >>> runner
            <penstock.runner.sequential.SequentialRunner(), closed>
        """
        if self._lifetime is not None:
            self._lifetime.close()

    def __enter__(self) -> Self:
        """Open the runner; `close` follows when the block is left, also by an exception or Ctrl-C.

        Returns:
            The runner.

        Raises:
            RunnerError: The runner is open already.
            ClusterError: The cluster could not be started.

        Example:
            >>> from penstock import DataCatalog, SequentialRunner
            >>> from penstock.pipeline import node, pipeline
            >>> double = pipeline([node(lambda x: 2 * x, "x", "y", name="double")])
            >>> with SequentialRunner() as runner:
            ...     [runner.run(double, DataCatalog({"x": x}))["y"].load() for x in (1, 2)]
            [2, 4]
        """
        return self.open()

    def __exit__(self, *exception: object) -> None:
        """Close the runner. An exception that leaves the block goes on."""
        self.close()

    def _start_kept(self, stack: contextlib.ExitStack) -> Any:  # noqa: ARG002
        """What an open runner keeps; None for nothing. What is pushed on the stack ends it. A subclass overrides it."""
        return None


_starts: Counter[str] = Counter()


def log_what_opening_saves(log: logging.Logger, runner: str, kept: str, seconds: float) -> None:
    """Log, once in this process, what to write round runs that follow each other.

    Args:
        log: The runner's log.
        runner: The name of the runner's class.
        kept: What the runner has started for one run: "processes" or "a cluster".
        seconds: How long the run waited for that.
    """
    _starts[runner] += 1
    if _starts[runner] == 2:  # noqa: PLR2004 - the first run that an open runner would have started nothing for
        log.info(
            "This run waited %.1f s for %s of its own, as did the run before it. `with %s(...) as runner:` "
            "round both starts them once, and saves that time in each run after the first",
            seconds,
            kept,
            runner,
        )
