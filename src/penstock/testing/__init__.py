"""`RunnerContract`: the promises that every runner keeps, for ours and for other people's.

Whoever writes a runner holds it to them with one small class in a test module:

    class TestMyRunner(RunnerContract):
        leaves_process = True

        @pytest.fixture
        def runner(self):
            return MyRunner()

`Diary`, `Recorder` and `DiaryDataset` witness what nodes, plugins and datasets do on workers. pytest is needed here, and
nowhere else in Penstock.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"penstock.testing.{group}"
        for group in ("errors", "firing", "results", "stores", "values", "watching")
    )
)

from penstock.testing.diary import CountsUp, Diary, DiaryDataset, ListDataset, Recorder, add_one, fail  # noqa: E402
from penstock.testing.errors import ErrorPromises, notes_of  # noqa: E402
from penstock.testing.firing import HookPromises  # noqa: E402
from penstock.testing.results import ResultPromises  # noqa: E402
from penstock.testing.stores import StorePromises  # noqa: E402
from penstock.testing.values import ValuePromises  # noqa: E402
from penstock.testing.watching import WatchingPromises  # noqa: E402

__all__ = [
    "CountsUp",
    "Diary",
    "DiaryDataset",
    "ListDataset",
    "Recorder",
    "RunnerContract",
    "add_one",
    "fail",
    "notes_of",
]


class RunnerContract(
    ValuePromises, StorePromises, HookPromises, ErrorPromises, ResultPromises, WatchingPromises
):
    """All that a runner promises; a subclass gives the fixture `runner`, and says what it can do.

    Attributes:
        leaves_process: Nodes run in other processes.
        runs_nodes_at_once: The runner of the fixture runs two nodes at the same time.
        is_async: The runner of the fixture was made with `is_async=True`.
    """
