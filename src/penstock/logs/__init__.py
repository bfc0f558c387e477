"""What nodes log and print, named and made portable. It knows no task and no scheduler."""

from __future__ import annotations

__all__: list[str] = []
