"""Checks, before the first task, whether a cluster can run a plan. Nothing here runs a task of the plan."""

from __future__ import annotations

__all__: list[str] = []
