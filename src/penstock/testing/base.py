"""The base class of all groups of promises: the runner to test, and its abilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.testing.diary import Diary


class RunnerPromises:
    """A runner to test, and its abilities."""

    leaves_process = False
    """Whether nodes run in other processes. Then objects that cannot be pickled are refused, and driver and nodes share none."""

    runs_nodes_at_once = False
    """Whether the runner of the fixture runs two nodes at the same time."""

    is_async = False
    """Whether the runner of the fixture was made with `is_async=True`."""

    @pytest.fixture
    def runner(self) -> Any:
        """The runner to test; a subclass overrides this."""
        raise NotImplementedError(
            f"{type(self).__name__} has no fixture `runner`: define one that returns the runner to test"
        )

    @pytest.fixture
    def diary(self, tmp_path: Path) -> Diary:
        """An empty diary. Override it if workers cannot write to the folder of `tmp_path`."""
        return Diary(tmp_path / "diary.jsonl")

    def skip_if_async(self) -> None:
        """Skip a test of generator functions, which a runner with `is_async` refuses."""
        if self.is_async:
            pytest.skip("generator functions are refused with is_async")

    def skip_unless_sent(self) -> None:
        """Skip a test of pickling if the runner runs nodes in this process."""
        if not self.leaves_process:
            pytest.skip("the runner runs nodes in this process")
