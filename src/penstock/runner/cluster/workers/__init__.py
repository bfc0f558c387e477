"""Counts the cluster's workers, waits for them and replaces them. What the workers run is in `execution`."""

from __future__ import annotations

__all__: list[str] = []
