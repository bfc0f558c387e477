"""How often the tests that draw at random, or that repeat something, do so: once, and in `tox run -e soak` many times."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("PENSTOCK_SOAK_TIMES", "1"))
