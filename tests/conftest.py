"""Clusters that live as long as the tests: starting one takes longer than all that is done on it."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def cluster():
    # Here and not above: most tests do without, and `import distributed` takes longer than they do.
    from distributed import LocalCluster  # noqa: PLC0415

    with LocalCluster(
        processes=True, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def client(cluster):
    from distributed import Client  # noqa: PLC0415

    with Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(scope="session")
def in_process_client():
    from distributed import Client, LocalCluster  # noqa: PLC0415

    with (
        LocalCluster(
            processes=False, n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
