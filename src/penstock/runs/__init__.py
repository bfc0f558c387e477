"""What happened in a run. Nothing here starts one."""

from __future__ import annotations

__all__: list[str] = []
