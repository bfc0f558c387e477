"""Nodes, and pipelines made of them: what to run.

This package checks, orders, selects and renames nodes. It does not load or save data (`penstock.io`), and it does not run
pipelines or use Dask (`penstock.runner`). Users import `node` and `pipeline` from here.
"""

from __future__ import annotations

from penstock.pipeline.namespaces import GroupedNodes
from penstock.pipeline.node import Node
from penstock.pipeline.pipeline import Pipeline

node = Node
"""Another name of `Node`: `node(...)` makes one."""

pipeline = Pipeline
"""Another name of `Pipeline`: `pipeline(...)` makes one."""

__all__ = ["GroupedNodes", "Node", "Pipeline", "node", "pipeline"]
