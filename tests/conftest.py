"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# What an example costs depends on what else the machine does. Random everywhere: left alone, hypothesis tries the same
# examples in each run where it finds the variable CI.
settings.register_profile(
    "no hurry",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("no hurry")
