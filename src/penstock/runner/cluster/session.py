"""The cluster of a run, as every step of the run sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

    from penstock.runner.cluster.workers.supervisor import Supervisor


@dataclass(frozen=True)
class ClusterSession:
    """An open connection to a cluster that has at least one worker.

    Attributes:
        client: Connected to the cluster.
        owns_cluster: The runner started the cluster and closes it, so a run need not leave it as it was. A cluster that the
            runner does not own is used by others.
        supervisor: Counts the workers, and replaces those that end if the runner owns the cluster.
    """

    client: Client
    owns_cluster: bool
    supervisor: Supervisor
