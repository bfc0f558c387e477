"""What to run: nodes, and pipelines made of them. Nothing here knows data or Dask."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from penstock.pipeline.namespaces import GroupedNodes
from penstock.pipeline.node import Node, node
from penstock.pipeline.pipeline import Pipeline, pipeline

__all__ = ["GroupedNodes", "Node", "Pipeline", "node", "pipeline"]


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Pipeline:
        return pipeline(*args, **kwargs)


# `penstock.pipeline` is this package and, like every public name, a function: `from penstock import node, pipeline` works.
sys.modules[__name__].__class__ = _Callable
