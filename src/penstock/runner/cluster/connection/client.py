"""Connect to a cluster, or start one for the runner."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import logging
import multiprocessing
import socket
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, Nanny, Security, Worker
from distributed.deploy import Cluster, SpecCluster

from penstock._similar import similar_names
from penstock._threads import block_interrupts
from penstock.errors import ClusterError, RunnerError
from penstock.runner.cluster.connection.settings import ClusterSettings, cluster_settings
from penstock.runner.cluster.workers.job_queue import (
    import_class,
    with_replaceable_jobs,
    with_staggered_lifetimes,
)
from penstock.runner.cluster.workers.supervisor import is_job_queue
from penstock.runner.cluster.workers.waiting import log_while_waiting

_LOG = logging.getLogger(__name__)

CLOSE_SECONDS = 60.0
"""How long the runner waits for its cluster to close."""

DASHBOARD_PORT = 8787
"""Dask's default port for the dashboard. A local cluster uses it if it is free."""

FILE_POLL_SECONDS = 0.2
"""Polling interval, in seconds, while a scheduler has not written its file."""


def connect(
    arguments: Mapping[str, Any], stack: contextlib.ExitStack, timeout_seconds: float
) -> tuple[Client, bool]:
    """Connect to the cluster that the arguments name, or start one.

    Args:
        arguments: The arguments for `distributed.Client`; empty for the cluster that Dask's configuration describes.
        stack: Closes the client, and the cluster if it was started here.
        timeout_seconds: How long to wait for a scheduler to write its file.

    Returns:
        The client, and whether the cluster was started here.

    Raises:
        ClusterError: No scheduler answers, or the cluster does not start.
        RunnerError: An unexpected argument, or a configuration that makes no sense.
    """
    if names_scheduler(arguments):
        return stack.enter_context(_connect_to_scheduler(arguments, timeout_seconds)), False
    client = _start_in_thread(arguments, stack)
    cluster = client.cluster
    if is_job_queue(cluster):
        _LOG.info(
            "The scheduler is at %s, its dashboard at %s", cluster.scheduler_address, client.dashboard_link
        )
    else:
        workers = len(client.nthreads())
        _LOG.info("%s of %d workers, dashboard at %s", type(cluster).__name__, workers, client.dashboard_link)
    return client, True


def names_scheduler(arguments: Mapping[str, Any]) -> bool:
    """Whether the arguments, or Dask's configuration, name a scheduler that is running; otherwise the runner starts a cluster."""
    configured = dask.config.get("scheduler-address", None) or dask.config.get("scheduler_address", None)
    return bool(arguments.get("address") or arguments.get("scheduler_file") or configured)


# A scheduler that is running


def _connect_to_scheduler(arguments: Mapping[str, Any], timeout_seconds: float) -> Client:
    file = arguments.get("scheduler_file")
    if file:
        _wait_for_file(Path(file), timeout_seconds)
    try:
        return open_client(**_with_security(arguments))
    except FileNotFoundError as error:
        raise ClusterError(f"A file that security or scheduler_file names does not exist: {error}") from error
    except (OSError, TimeoutError, asyncio.TimeoutError) as error:  # until Python 3.10 they were two
        raise ClusterError(
            f"No Dask scheduler answers ({error}). Is the cluster running, and the address right? "
            "The address of a scheduler that uses TLS begins with tls://, and needs security="
        ) from error
    except (TypeError, ValueError) as error:
        raise _argument_error(arguments, error) from error


def _argument_error(arguments: Mapping[str, Any], error: Exception) -> ClusterError | RunnerError:
    if "address" in str(error):
        return RunnerError(
            f"{arguments.get('address')!r} is not the address of a scheduler ({error}); an address is like tcp://host:8786"
        )
    if "ssl_context" not in str(error):
        return RunnerError(f"distributed.Client does not take these arguments: {error}")
    return ClusterError(
        "The scheduler uses TLS, and the client has no certificates: give security=distributed.Security(tls_ca_file=..., "
        "tls_client_cert=..., tls_client_key=..., require_encryption=True), or the same as a dict"
    )


def open_client(**arguments: Any) -> Client:
    """Open a client. If that fails, close it at once.

    Otherwise Dask closes it when it is garbage-collected, for which it takes a lock that this thread may hold by then.

    Args:
        arguments: The arguments for `distributed.Client`.
    """
    client = Client.__new__(Client)
    try:
        Client.__init__(client, **arguments, set_as_default=False)
    except BaseException:
        with contextlib.suppress(Exception):
            client.close()
        raise
    return client


def _wait_for_file(path: Path, seconds: float) -> None:
    """Return as soon as the scheduler has written its file. Dask alone waits for ever, and logs nothing.

    Raises:
        ClusterError: The file does not exist in time.
    """
    began = time.monotonic()
    with log_while_waiting(f"the scheduler's file {path}"):
        while not path.exists():
            if time.monotonic() - began > seconds:
                raise ClusterError(
                    f"Waited {seconds:g} s for the scheduler's file {path}; start one with `dask scheduler --scheduler-file {path}`"
                )
            time.sleep(FILE_POLL_SECONDS)


# A cluster of the runner's own


def _start_in_thread(arguments: Mapping[str, Any], stack: contextlib.ExitStack) -> Client:
    """Start a cluster and a client, both of which the stack closes.

    A thread starts them, so that Ctrl-C does not interrupt the start and leave half a cluster.
    """
    if importlib.util.find_spec("bokeh") is None and arguments.get("dashboard_address"):
        raise ClusterError("The dashboard needs the package bokeh: pip install bokeh")
    # Private to `multiprocessing`: no public name says that a child process is still importing the main script. If it changes,
    # an unguarded script fails with Dask's longer error. `test_a_script_without_a_guard_gets_an_error_that_asks_for_one` notices.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ClusterError(
            "A worker that is starting runs the script again, which starts another local cluster. "
            'Put the code that starts the run under `if __name__ == "__main__":`'
        )
    with ThreadPoolExecutor(1, initializer=block_interrupts) as thread:
        starting = thread.submit(_start, arguments)
        # Registered before the wait: Ctrl-C may come twice, or at the moment at which the cluster is ready.
        stack.callback(_close, starting)
        _, client = starting.result()
    return client


def _close(starting: Future[tuple[Cluster, Client]]) -> None:
    """Wait until the cluster has started, and close it."""
    if starting.exception() is None:
        cluster, client = starting.result()
        try:
            client.close()
        finally:
            _close_cluster(cluster)


def _close_cluster(cluster: Cluster) -> None:
    """Close a cluster. Dask sometimes waits for ever to close a cluster that is restarting a worker, so the wait is limited."""
    if not isinstance(cluster, SpecCluster):
        cluster.close()
        return
    try:
        cluster.close(timeout=CLOSE_SECONDS)
    except asyncio.TimeoutError:
        _LOG.warning(
            "The cluster did not close within %g s; its remaining processes end with this one", CLOSE_SECONDS
        )


def _start(arguments: Mapping[str, Any]) -> tuple[Cluster, Client]:
    _check_names(arguments)
    # Both the cluster and its client take `security`; the client gets it from the cluster.
    of_client = inspect.signature(Client).parameters.keys() - {"security"}
    for_client = {name: value for name, value in arguments.items() if name in of_client}
    for_cluster = {name: value for name, value in arguments.items() if name not in of_client}
    configured = None if arguments else cluster_settings()
    settings = configured or ClusterSettings(None, for_cluster, {}, None)
    cluster = _new_cluster(settings)
    try:
        _scale(cluster, settings)
        return cluster, open_client(**{**for_client, "address": cluster})
    except BaseException:
        cluster.close()
        raise


def _check_names(arguments: Mapping[str, Any]) -> None:
    """Refuse unexpected arguments. Dask would start workers with them, which fail and say so in their own logs only."""
    if "worker_class" in arguments:
        return
    takers = {Client, LocalCluster, Nanny, *Worker.__mro__} - {object}
    known = {name for taker in takers for name in inspect.signature(taker).parameters}
    unknown = sorted(arguments.keys() - known)
    if unknown:
        similar = similar_names(unknown, known, 1)
        hint = f"; did you mean {', '.join(similar)}?" if similar else ""
        raise RunnerError(f"Unexpected keyword arguments for the local cluster: {', '.join(unknown)}{hint}")


def _local_cluster(arguments: Mapping[str, Any]) -> LocalCluster:
    """A local cluster. It and its dashboard listen on loopback only, unless an argument says otherwise."""
    port = DASHBOARD_PORT if _is_free(DASHBOARD_PORT) else 0
    address = arguments.get("dashboard_address", port)
    if isinstance(address, int) or str(address).lstrip(":").isdigit():
        address = f"127.0.0.1:{str(address).lstrip(':')}"
    try:
        return LocalCluster(**{**_with_security(arguments), "dashboard_address": address})
    except RuntimeError as error:
        raise ClusterError(
            f"The local cluster did not start ({error}); the output of its workers is above. In a script, put the code "
            'that starts the run under `if __name__ == "__main__":`, since each worker runs the script again'
        ) from error


def _new_cluster(settings: ClusterSettings) -> Cluster:
    if settings.cls is None:
        return _local_cluster(settings.arguments)
    cls, arguments = import_class(settings.cls), _with_security(settings.arguments)
    if is_job_queue(cls):
        _check_jobs(settings)
        cls, arguments = with_replaceable_jobs(cls), with_staggered_lifetimes(cls, arguments)
    try:
        cluster = cls(**arguments)
    except (TypeError, ValueError) as error:
        raise RunnerError(
            f"{settings.cls} does not take the arguments of penstock.cluster in Dask's configuration: {error}"
        ) from error
    if not isinstance(cluster, Cluster):
        raise RunnerError(
            f"penstock.cluster.class in Dask's configuration is {settings.cls}, which returns a {type(cluster).__name__} instead of a cluster"
        )
    return cluster


def _check_jobs(settings: ClusterSettings) -> None:
    if not (settings.scale or settings.adapt or settings.arguments.get("n_workers")):
        raise RunnerError(
            f"penstock.cluster in Dask's configuration asks for no job: {settings.cls} starts without workers. "
            "Set scale, to 4 or {jobs: 4} for instance, or adapt, to {minimum_jobs: 1, maximum_jobs: 10}"
        )


def _scale(cluster: Cluster, settings: ClusterSettings) -> None:
    try:
        if settings.scale:
            cluster.scale(**settings.scale)
        if settings.adapt is not None:
            cluster.adapt(**settings.adapt)
    except (TypeError, ValueError) as error:
        raise RunnerError(
            f"{settings.cls or 'A local cluster'} cannot be scaled as penstock.cluster in Dask's configuration says: {error}"
        ) from error


def _with_security(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with a `Security` in place of a mapping, which is what a file or a command line can hold."""
    security = arguments.get("security")
    return {**arguments, "security": Security(**security)} if isinstance(security, Mapping) else {**arguments}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
