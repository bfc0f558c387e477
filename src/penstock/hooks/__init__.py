"""Hooks: which ones there are (`specs`), the manager that plugins are registered with, and the calls of a run.

The names of the hooks, their arguments and the pluggy project name are Kedro's, so that a plugin written for Kedro works
here unchanged (https://docs.kedro.org, "Hooks"). When and where hooks fire is decided by tasks and runners, not here.
"""

from __future__ import annotations

from penstock.hooks.calls import Hooks
from penstock.hooks.manager import create_hook_manager
from penstock.hooks.specs import DatasetSpecs, NodeSpecs, PipelineSpecs, hook_impl, hook_spec

__all__ = [
    "DatasetSpecs",
    "Hooks",
    "NodeSpecs",
    "PipelineSpecs",
    "create_hook_manager",
    "hook_impl",
    "hook_spec",
]
