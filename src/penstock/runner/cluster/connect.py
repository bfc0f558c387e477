"""How a runner comes by a client: of somebody else's cluster, or of a local one of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import logging
import signal
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from typing import Any

import dask
from distributed import Client, LocalCluster

from penstock.errors import ClusterError

_LOG = logging.getLogger(__name__)

DASHBOARD_PORT = 8787
"""Where Dask's users look for the dashboard."""


def connected(arguments: Mapping[str, Any], stack: contextlib.ExitStack) -> tuple[Client, bool]:
    """A client, and whether its cluster ends with it; both are closed by the stack.

    Args:
        arguments: What `distributed.Client` takes.
        stack: Closes what is opened here.
    """
    if not _is_temporary(arguments):
        return stack.enter_context(_client(arguments)), False
    client = _started(arguments, stack)
    workers = len(client.scheduler_info(n_workers=-1)["workers"])
    _LOG.info("Local cluster of %d workers, dashboard at %s", workers, client.dashboard_link)
    return client, True


def _is_temporary(arguments: Mapping[str, Any]) -> bool:
    configured = dask.config.get("scheduler-address", None) or dask.config.get("scheduler_address", None)
    return not (arguments.get("address") or arguments.get("scheduler_file") or configured)


def _client(arguments: Mapping[str, Any]) -> Client:
    try:
        return Client(**arguments, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ClusterError(
            f"No Dask scheduler answers ({error}); is the cluster up, and the address right?"
        ) from error


def _started(arguments: Mapping[str, Any], stack: contextlib.ExitStack) -> Client:
    """A client of a new local cluster; both are closed by the stack.

    A thread starts them, so that Ctrl-C finds a whole cluster to close and not half a one.
    """
    if importlib.util.find_spec("bokeh") is None and arguments.get("dashboard_address"):
        raise ClusterError('The dashboard needs the package bokeh: pip install "penstock[dashboard]"')
    with ThreadPoolExecutor(1, initializer=_block_interrupts) as thread:
        starting = thread.submit(_start, arguments)
        try:
            cluster, client = starting.result()
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                for opened in reversed(starting.result()):
                    opened.close()
            raise
    stack.callback(cluster.close)
    stack.callback(client.close)
    return client


def _start(arguments: Mapping[str, Any]) -> tuple[LocalCluster, Client]:
    of_client = inspect.signature(Client).parameters
    given = {name: value for name, value in arguments.items() if name not in of_client}
    port = DASHBOARD_PORT if _is_free(DASHBOARD_PORT) else 0
    # On loopback only, as the cluster itself.
    cluster = LocalCluster(**{"dashboard_address": f"127.0.0.1:{port}", **given})
    rest = {name: value for name, value in arguments.items() if name in of_client}
    try:
        return cluster, Client(**{**rest, "address": cluster}, set_as_default=False)
    except BaseException:
        cluster.close()
        raise


def _block_interrupts() -> None:
    """Threads and processes started from this thread do not see Ctrl-C: the caller of `run` does, and closes them."""
    if hasattr(signal, "pthread_sigmask"):
        # Started later, it would let the signal through again (multiprocessing/resource_tracker.py).
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def checked(client: Client) -> Client:
    """The client, if a run can use it.

    Raises:
        ClusterError: It is closed, or asynchronous.
    """
    if client.status != "running":
        raise ClusterError(f"The client is {client.status}; give DaskRunner an open distributed.Client")
    if client.asynchronous:
        raise ClusterError(
            "The client is asynchronous; give DaskRunner a Client made without asynchronous=True"
        )
    return client
