"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# What an example costs depends on what else the machine does.
settings.register_profile("no hurry", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no hurry")
