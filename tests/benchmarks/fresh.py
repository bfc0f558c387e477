"""Functions of the benchmarks, called in a Python of their own: nothing is imported yet, and no memory is used."""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def called_fresh(module: str, function: str, *arguments: Any) -> Any:
    """What a function of `tests.benchmarks` returns in a new interpreter; plain values only."""
    command = [sys.executable, "-m", "tests.benchmarks.fresh", module, function, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, env=_compiling(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module}.{function} failed in an interpreter of its own:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _compiling() -> dict[str, str]:
    """An environment in which Python finds all modules compiled from the second call on, as it does after an installation."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": _compiled().name}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


@functools.cache
def _compiled() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="penstock-compiled-")


def main() -> None:
    name, function, arguments = sys.argv[1:]
    module = importlib.import_module(f"tests.benchmarks.{name}")
    print(json.dumps(getattr(module, function)(*json.loads(arguments))))  # noqa: T201 - to be read by `called_fresh`


if __name__ == "__main__":
    main()
