"""What a worker process has of its driver besides tasks: the working directory, the environment, and where modules are found.

A worker is started with the driver's. It is kept for later runs, and the driver changes its own meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, replace
from itertools import takewhile


@dataclass(frozen=True)
class Surroundings:
    """What surrounds the code of a process."""

    folder: str
    """The working directory; empty if it was removed."""
    environment: dict[str, str]
    path: list[str]
    """`sys.path`, with the name of the working directory where that stands for it."""

    @classmethod
    def here(cls) -> Surroundings:
        """What surrounds this process now."""
        folder = ""
        with contextlib.suppress(OSError):
            folder = os.getcwd()  # noqa: PTH109 - a name is wanted
        return cls(folder, dict(os.environ), [entry or folder for entry in sys.path])


class AtStart:
    """Stands for what surrounds the driver when a worker is started: it is pickled then, and arrives as that."""

    def __reduce__(self) -> tuple[type[Surroundings], tuple[str, dict[str, str], list[str]]]:
        here = Surroundings.here()
        return Surroundings, (here.folder, here.environment, here.path)


class _Follower:
    """A worker, which changes what the driver has changed, and leaves alone what it has of its own.

    Args:
        driver: What the worker was started with.
    """

    def __init__(self, driver: Surroundings) -> None:
        self._own = dict(os.environ.items() - driver.environment.items())
        self._last = replace(driver, path=sys.path.copy())
        self.follow(driver)

    def follow(self, driver: Surroundings) -> None:
        """Have here what the driver has now.

        Raises:
            OSError: The driver's working directory is gone.
        """
        if driver.folder:
            os.chdir(driver.folder)
        last, now = ({**self._own, **each.environment} for each in (self._last, driver))
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


def begin(driver: Surroundings) -> None:
    """From now on this process is a worker, which was started with these surroundings."""
    global _follower  # noqa: PLW0603 - a process has one driver
    _follower = _Follower(driver)


def follow(driver: Surroundings) -> None:
    """Have here what the driver has now; a process that was not started as a worker is left as it is.

    Raises:
        OSError: The driver's working directory is gone.
    """
    if _follower is not None:
        _follower.follow(driver)
