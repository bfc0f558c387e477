"""How a runner gets a client of a cluster. What happens on the cluster is in the rooms beside it."""

from __future__ import annotations

__all__: list[str] = []
