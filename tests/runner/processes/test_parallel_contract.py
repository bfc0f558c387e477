"""ParallelRunner: the contract, with and without is_async."""

from __future__ import annotations

import pytest

from penstock.runner import ParallelRunner
from penstock.testing import RunnerContract


@pytest.mark.pythons
class TestParallelRunner(RunnerContract):
    leaves_process = True
    runs_nodes_at_once = True

    @pytest.fixture
    def runner(self):
        return ParallelRunner(max_workers=2)


@pytest.mark.slow
@pytest.mark.oldest
class TestParallelRunnerAsync(RunnerContract):
    leaves_process = True
    runs_nodes_at_once = True
    is_async = True

    @pytest.fixture
    def runner(self):
        return ParallelRunner(max_workers=2, is_async=True)
