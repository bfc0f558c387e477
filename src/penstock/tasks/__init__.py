"""What runs inside one Dask task, on any scheduler. What decides which tasks there are is in `graph`."""

from __future__ import annotations

__all__: list[str] = []
