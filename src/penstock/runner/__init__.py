"""The runners, one for each Dask scheduler, and `run`. Which tasks a run has is decided in `graph`, what they do in `tasks`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from penstock.runner.abstract import AbstractRunner
from penstock.runner.run import run
from penstock.runner.select import select_runner
from penstock.runner.sequential import SequentialRunner
from penstock.runner.task import Task
from penstock.runner.threads import ThreadRunner
from penstock.runs.result import NodeRecord, RunResult
from penstock.tasks.policy import NodePolicy

if TYPE_CHECKING:
    from penstock.runner.cluster import DaskRunner
    from penstock.runner.processes import ParallelRunner

__all__ = [
    "AbstractRunner",
    "DaskRunner",
    "NodePolicy",
    "NodeRecord",
    "ParallelRunner",
    "RunResult",
    "SequentialRunner",
    "Task",
    "ThreadRunner",
    "run",
    "select_runner",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: `import distributed` takes longer than all other imports, and most runs need neither.
    packages = {"DaskRunner": "penstock.runner.cluster", "ParallelRunner": "penstock.runner.processes"}
    if name not in packages:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(packages[name]), name)


def __dir__() -> list[str]:
    return __all__
