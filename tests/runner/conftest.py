from __future__ import annotations

import subprocess
import sys

import pytest

from penstock.testing import Diary


@pytest.fixture
def diary(tmp_path):
    return Diary(tmp_path / "diary.jsonl")


@pytest.fixture
def script(tmp_path):
    """Runs Python text as a script; gives the process, which the end of the test ends."""
    started = []

    def start(text, *arguments):
        path = tmp_path / "script.py"
        path.write_text(text)
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Signals to its group, as a terminal sends them, do not reach the tests.
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
