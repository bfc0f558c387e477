"""What to run: nodes, and pipelines made of them. Nothing here knows data or Dask."""

from __future__ import annotations

from penstock.pipeline.namespaces import GroupedNodes
from penstock.pipeline.node import Node, node
from penstock.pipeline.pipeline import Pipeline, pipeline

__all__ = ["GroupedNodes", "Node", "Pipeline", "node", "pipeline"]
