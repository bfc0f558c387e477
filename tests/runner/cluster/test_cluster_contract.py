"""DaskRunner: the contract, on every way to a cluster.

A client of processes is tested everywhere. The other ways are shared out: each meets the newest dependencies, or the oldest.
"""

from __future__ import annotations

import pytest

from penstock import DaskRunner
from penstock.testing import RunnerContract

pytestmark = pytest.mark.cluster


class DaskContract(RunnerContract):
    leaves_process = True
    runs_nodes_at_once = True


@pytest.mark.pythons
class TestClient(DaskContract):
    @pytest.fixture
    def runner(self, client):
        return DaskRunner(client)


@pytest.mark.apart
@pytest.mark.oldest
class TestClientAsync(DaskContract):
    is_async = True

    @pytest.fixture
    def runner(self, client):
        return DaskRunner(client, is_async=True)


@pytest.mark.slow
@pytest.mark.newest
class TestClientOfThreads(DaskContract):
    """Workers in this process hand over objects as they are: copies have to keep readers apart."""

    @pytest.fixture
    def runner(self, in_process_client):
        return DaskRunner(in_process_client)


@pytest.mark.apart
@pytest.mark.oldest
class TestAddress(DaskContract):
    """The runner opens a client of its own for each run."""

    @pytest.fixture
    def runner(self, cluster):
        return DaskRunner(cluster.scheduler_address)
