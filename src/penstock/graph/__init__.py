"""Compiles a pipeline and a catalog into one Dask graph. Only the driver does this, and nothing is loaded or run here."""

from __future__ import annotations

from penstock.graph.compile import compile_pipeline
from penstock.graph.plan import Plan

__all__ = ["Plan", "compile_pipeline"]
