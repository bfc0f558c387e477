"""The door for Kedro projects: runners that a `KedroSession` accepts. Nothing of Penstock imports it.

    kedro run --runner=penstock.kedro.DaskRunner --runner-params=address=tcp://scheduler:8786

They are the runners of `penstock.runner`, whose workers find the project's package, its settings and its logging, and whose
errors of data are Kedro's own classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.kedro.runners import ParallelRunner, SequentialRunner, ThreadRunner

if TYPE_CHECKING:
    from penstock.kedro.cluster import DaskRunner

__all__ = ["DaskRunner", "ParallelRunner", "SequentialRunner", "ThreadRunner"]


def __getattr__(name: str) -> Any:
    # `import distributed` takes longer than all the rest together, and most runs do without.
    if name == "DaskRunner":
        from penstock.kedro.cluster import DaskRunner  # noqa: PLC0415

        return DaskRunner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
