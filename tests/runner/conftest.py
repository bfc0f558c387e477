from __future__ import annotations

import pytest

from penstock.testing import Diary


@pytest.fixture
def diary(tmp_path):
    return Diary(tmp_path / "diary.jsonl")
