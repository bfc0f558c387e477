"""Whether a cluster can run a plan, asked before the first task. Nothing here runs one."""

from __future__ import annotations

__all__: list[str] = []
