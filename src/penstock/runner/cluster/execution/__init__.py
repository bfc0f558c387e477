"""How a plan runs on a cluster, and survives its workers. Connecting and waiting for workers are in the rooms beside it."""

from __future__ import annotations

__all__: list[str] = []
