"""Whether workers are there, may come, and are replaced. What they do is in `execution`."""

from __future__ import annotations

__all__: list[str] = []
