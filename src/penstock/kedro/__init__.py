"""Runners for Kedro projects, which a `KedroSession` and `kedro run` accept. No other module of Penstock imports this package.

    kedro run --runner=penstock.kedro.DaskRunner --runner-params=address=tcp://scheduler:8786

They are the runners of `penstock.runner`. In addition, workers load the project's package, settings and logging.
"""

from __future__ import annotations

import logging
import multiprocessing
from typing import TYPE_CHECKING, Any

if multiprocessing.current_process().name != "MainProcess":
    # When Kedro is imported, it says which logging configuration it uses. The driver has said so, and workers get the driver's.
    # A filter: the level of this logger is set by that configuration.
    logging.getLogger("kedro.framework.project").addFilter(lambda record: record.levelno > logging.INFO)

from penstock.kedro.runners import ParallelRunner, SequentialRunner, ThreadRunner

if TYPE_CHECKING:
    from penstock.kedro.cluster import DaskRunner

__all__ = ["DaskRunner", "ParallelRunner", "SequentialRunner", "ThreadRunner"]


def __getattr__(name: str) -> Any:
    # Imported on demand: `import distributed` takes longer than all other imports together.
    if name == "DaskRunner":
        from penstock.kedro.cluster import DaskRunner  # noqa: PLC0415

        return DaskRunner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
