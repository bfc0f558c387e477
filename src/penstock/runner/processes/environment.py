"""What a worker process has of its driver besides tasks: the working directory, the environment, and where modules are found.

A worker is started with the driver's. It is kept for later runs, and the driver changes its own meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, replace
from itertools import takewhile

FIRST_ENVIRONMENT = dict(os.environ)
"""The environment as it was when this was imported; what is written down of it later is what has changed since: it has secrets."""


@dataclass(frozen=True)
class Surroundings:
    """What surrounds the code of a process."""

    folder: str
    """The working directory; empty if it was removed."""
    changed: dict[str, str | None]
    """What the environment has now, where that is something else than it was at first; None for what is gone."""
    path: list[str]
    """`sys.path`, with the name of the working directory where that stands for it."""

    @classmethod
    def here(cls) -> Surroundings:
        """What surrounds this process now."""
        folder = ""
        with contextlib.suppress(OSError):
            folder = os.getcwd()  # noqa: PTH109 - a name is wanted
        names = FIRST_ENVIRONMENT.keys() | os.environ.keys()
        changed = {
            name: now for name in names if (now := os.environ.get(name)) != FIRST_ENVIRONMENT.get(name)
        }
        return cls(folder, changed, [entry or folder for entry in sys.path])

    def environment(self, first: dict[str, str]) -> dict[str, str]:
        """All of it, if it was this at first."""
        return {name: value for name, value in {**first, **self.changed}.items() if value is not None}


class AtStart:
    """Stands for what surrounds the driver when a worker is started: it is pickled then, and arrives as that."""

    def __reduce__(self) -> tuple[type[Surroundings], tuple[str, dict[str, str | None], list[str]]]:
        here = Surroundings.here()
        return Surroundings, (here.folder, here.changed, here.path)


class _Follower:
    """A worker, which changes what the driver has changed, and leaves alone what it has of its own.

    Args:
        first: The driver's environment at first.
        driver: What the worker was started with.
    """

    def __init__(self, first: dict[str, str], driver: Surroundings) -> None:
        self._first = first
        self._own = dict(os.environ.items() - driver.environment(first).items())
        self._last = replace(driver, path=sys.path.copy())
        self.follow(driver)

    def follow(self, driver: Surroundings) -> None:
        """Have here what the driver has now.

        Raises:
            OSError: The driver's working directory is gone.
        """
        if driver.folder:
            os.chdir(driver.folder)
        last, now = ({**self._own, **each.environment(self._first)} for each in (self._last, driver))
        for name in last.keys() - now.keys():
            os.environ.pop(name, None)
        os.environ.update(now.items() - last.items())
        if driver.path != self._last.path:
            sys.path[:] = _merged(driver.path, self._last.path)
        self._last = driver


def _merged(path: list[str], last: list[str]) -> list[str]:
    """The driver's path between what this worker has put before and behind the last one."""
    drivers = {*path, *last}
    before = list(takewhile(lambda entry: entry not in drivers, sys.path))
    behind = [entry for entry in sys.path[len(before) :] if entry not in drivers]
    return [*before, *path, *behind]


_follower: _Follower | None = None


def begin(first: dict[str, str], driver: Surroundings) -> None:
    """From now on this process is a worker, which was started with these surroundings.

    Args:
        first: The driver's environment at first.
        driver: What surrounds the driver now.
    """
    global _follower  # noqa: PLW0603 - a process has one driver
    _follower = _Follower(first, driver)


def follow(driver: Surroundings) -> None:
    """Have here what the driver has now; a process that was not started as a worker is left as it is.

    Raises:
        OSError: The driver's working directory is gone.
    """
    if _follower is not None:
        _follower.follow(driver)
