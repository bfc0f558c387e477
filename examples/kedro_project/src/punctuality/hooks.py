"""Hooks of the project; they fire on the worker that runs the node."""

from __future__ import annotations

import logging
import time
from typing import Any

from kedro.framework.hooks import hook_impl

_LOG = logging.getLogger(__name__)


class Timing:
    """Logs how long each node's function took."""

    def __init__(self) -> None:
        self._starts: dict[str, float] = {}

    @hook_impl
    def before_node_run(self, node: Any) -> None:
        """Remember when."""
        self._starts[node.name] = time.perf_counter()

    @hook_impl
    def after_node_run(self, node: Any) -> None:
        """Log how long."""
        _LOG.info("%s took %.2f s", node.name, time.perf_counter() - self._starts.pop(node.name))
