"""What every group of promises builds on: which runner, and what it can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.testing.diary import Diary


class Base:
    """A runner to be held to its promises, and what it says of itself."""

    leaves_process = False
    """Whether nodes run in other processes: what cannot be pickled is refused, and driver and nodes share no object."""

    runs_nodes_at_once = False
    """Whether the runner of the fixture runs two nodes at the same time."""

    is_async = False
    """Whether the runner of the fixture was made with `is_async=True`."""

    @pytest.fixture
    def runner(self) -> Any:
        """The runner to be tested; a subclass overrides this."""
        raise NotImplementedError(f"{type(self).__name__} has no fixture `runner` that gives its runner")

    @pytest.fixture
    def diary(self, tmp_path: Path) -> Diary:
        """An empty diary. Override it if workers do not see the folder of `tmp_path`."""
        return Diary(tmp_path / "diary.jsonl")

    def skip_if_async(self) -> None:
        """Leave out a promise about generator functions, which `is_async` refuses."""
        if self.is_async:
            pytest.skip("generator functions are refused with is_async")

    def skip_unless_sent(self) -> None:
        """Leave out a promise about what has to be pickled."""
        if not self.leaves_process:
            pytest.skip("nothing leaves this process")
