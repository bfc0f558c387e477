"""Penstock compiles a data pipeline into one Dask task graph and runs it on the Dask scheduler you name."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("penstock")
