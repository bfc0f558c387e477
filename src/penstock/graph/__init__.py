"""The heart: pipeline + catalog + hooks -> one Dask task graph."""

from __future__ import annotations

from penstock.graph.compile import compile_pipeline
from penstock.graph.plan import Plan

__all__ = ["Plan", "compile_pipeline"]
