from __future__ import annotations

from hypothesis import settings

# What an example costs depends on what else the machine does.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
