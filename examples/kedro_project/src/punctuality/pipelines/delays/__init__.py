"""How late flights are: by hour at each airport, and by carrier."""

from __future__ import annotations

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
