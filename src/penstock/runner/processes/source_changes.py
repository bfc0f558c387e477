"""Which source files a driver has loaded: a worker that was kept has modules as they were when it imported them."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

_OURS = str(Path(__file__).parents[2])
_INSTALLED = {"site-packages", "dist-packages"}


def changes() -> dict[str, int]:
    """When the file of each module of the user's was changed last, in nanoseconds: of none that is installed, or is ours."""
    found = {}
    for path in _files():
        if _is_users(path):
            try:
                found[path] = os.stat(path).st_mtime_ns  # noqa: PTH116 - at each run, for each module
            except OSError:
                # A module of a zip file, or one whose file is gone: workers could not import another one either.
                continue
    return found


def _files() -> Iterator[str]:
    for module in list(sys.modules.values()):
        # By its type: what cffi makes says that it is a module, and has nothing of one.
        if issubclass(type(module), ModuleType):
            # Past the module's own `__getattr__`, which may import what is yet to be used.
            path = object.__getattribute__(module, "__dict__").get("__file__")
            if isinstance(path, str):
                yield path


@functools.cache
def _is_users(path: str) -> bool:
    return not path.startswith(_roots()) and _INSTALLED.isdisjoint(Path(path).parts)


@functools.cache
def _roots() -> tuple[str, ...]:
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    return tuple(f"{folder}{os.sep}" for folder in (*libraries, _OURS))
