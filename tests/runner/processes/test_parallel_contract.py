"""ParallelRunner: the contract, open and by itself, with and without is_async."""

from __future__ import annotations

import pytest

from penstock.runner import ParallelRunner
from penstock.testing import RunnerContract


class ProcessContract(RunnerContract):
    leaves_process = True
    runs_nodes_at_once = True


@pytest.mark.pythons
class TestOpenParallelRunner(ProcessContract):
    @pytest.fixture
    def runner(self, processes):
        return processes


@pytest.mark.apart
@pytest.mark.newest
class TestParallelRunner(ProcessContract):
    """Each run starts its processes."""

    @pytest.fixture
    def runner(self):
        return ParallelRunner(max_workers=2)


@pytest.mark.oldest
class TestOpenParallelRunnerAsync(ProcessContract):
    is_async = True

    @pytest.fixture
    def runner(self, async_processes):
        return async_processes
