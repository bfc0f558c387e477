"""Keep runs apart that have different code under one module name.

A worker imports one module of a name, for all runs. A run of a Kedro project therefore claims the names of its modules on the
scheduler, whose event loop handles one claim after the other: of two runs that start in the same instant, one gets the names.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

from penstock.errors import UnfitWorkersError
from penstock.runner.cluster.session import clean_up_scheduler

if TYPE_CHECKING:
    from penstock.runner.cluster.session import ClusterSession


def _this_process_text() -> str:
    return f"on {socket.gethostname()} (process {os.getpid()})"


_ADVICE = "Workers import one module of a name, for all runs. Run on another cluster, or wait until the other run has ended"


@dataclass(frozen=True)
class ModuleClaim:
    """The modules that a run needs, in one version.

    Attributes:
        code: What the modules are, for error messages.
        modules: Names of top-level modules.
        fingerprint: Two runs may share a module name if their fingerprints are equal.
        place: The process that claims them, in words.
    """

    code: str
    modules: frozenset[str]
    fingerprint: str
    place: str = field(default_factory=_this_process_text)

    def conflicts(self, other: ModuleClaim) -> frozenset[str]:
        """The names of modules of which the other claim has another version.

        Args:
            other: A claim of another run.
        """
        return frozenset() if self.fingerprint == other.fingerprint else self.modules & other.modules


@contextlib.contextmanager
def claiming_modules(session: ClusterSession, claim: ModuleClaim) -> Iterator[None]:
    """Claim modules inside the block. The claim also ends when the scheduler loses the client, because the driver was killed.

    Args:
        session: The cluster.
        claim: What to claim.

    Raises:
        UnfitWorkersError: Another run has claimed another version.
    """
    plugin = _ClaimPlugin(f"penstock-modules-{secrets.token_hex(8)}", session.client.id, claim)
    try:
        others = session.client.run_on_scheduler(_claim, plugin=plugin)
        if others:
            raise UnfitWorkersError([_conflict_text(claim, other) for other in others], _ADVICE)
        yield
    finally:
        if not session.ends_with_run:
            clean_up_scheduler(session.client, _release, name=plugin.name)


def _conflict_text(claim: ModuleClaim, other: ModuleClaim) -> str:
    names = ", ".join(map(repr, sorted(claim.conflicts(other))))
    return f"a run {other.place} has {other.code}, this run has {claim.code}: other code for {names}"


class _ClaimPlugin(SchedulerPlugin):  # type: ignore[misc]  # distributed ships no types
    """A claim, as long as its client is there."""

    def __init__(self, name: str, client: str, claim: ModuleClaim) -> None:
        self.name = name
        self.claim = claim
        self._client = client

    def remove_client(self, scheduler: Any, client: str) -> None:
        if client == self._client:
            _release(self.name, scheduler)


# Called on the scheduler. Without `async`: nothing else happens there meanwhile.


def _claim(plugin: _ClaimPlugin, dask_scheduler: Any) -> list[ModuleClaim]:
    """Add the claim, unless there are conflicting claims; gives those."""
    claims = [each.claim for each in dask_scheduler.plugins.values() if isinstance(each, _ClaimPlugin)]
    others = [claim for claim in claims if plugin.claim.conflicts(claim)]
    if not others:
        dask_scheduler.add_plugin(plugin, name=plugin.name)
    return others


def _release(name: str, dask_scheduler: Any) -> None:
    dask_scheduler.plugins.pop(name, None)
