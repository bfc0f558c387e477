from __future__ import annotations

import pytest
from hypothesis import settings

from penstock.testing import Diary

# What an example costs depends on what else the machine does.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture
def diary(tmp_path):
    return Diary(tmp_path / "diary.jsonl")
