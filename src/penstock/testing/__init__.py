"""`RunnerContract`: tests of what every runner promises, for the runners of Penstock and for your own.

To test a runner of your own, write one small class in a test module:

    class TestMyRunner(RunnerContract):
        leaves_process = True

        @pytest.fixture
        def runner(self):
            return MyRunner()

`Diary`, `Recorder` and `DiaryDataset` note what nodes, plugins and datasets do on workers. Only tests import this package:
it needs pytest, and the rest of Penstock does not. Each module has the promises about one subject.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"penstock.testing.{group}"
        for group in (
            "errors",
            "hooks",
            "loads",
            "logs",
            "preflight",
            "results",
            "stores",
            "streams",
            "values",
        )
    )
)

from penstock.testing.diary import CountsUp, Diary, DiaryDataset, ListDataset, Recorder, add_one, fail  # noqa: E402
from penstock.testing.errors import ErrorPromises, notes_of  # noqa: E402
from penstock.testing.hooks import HookPromises  # noqa: E402
from penstock.testing.loads import LoadPromises  # noqa: E402
from penstock.testing.logs import LogPromises  # noqa: E402
from penstock.testing.preflight import PreflightPromises  # noqa: E402
from penstock.testing.results import ResultPromises  # noqa: E402
from penstock.testing.stores import StorePromises  # noqa: E402
from penstock.testing.streams import StreamPromises  # noqa: E402
from penstock.testing.values import ValuePromises  # noqa: E402

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
    PreflightPromises,
    ValuePromises,
    LoadPromises,
    StorePromises,
    StreamPromises,
    HookPromises,
    ErrorPromises,
    ResultPromises,
    LogPromises,
):
    """All promises of a runner, as tests. A subclass defines the fixture `runner` and sets the attributes below.

    Attributes:
        leaves_process: Nodes run in other processes.
        runs_nodes_at_once: The runner of the fixture runs two nodes at the same time.
        is_async: The runner of the fixture was made with `is_async=True`.
    """
