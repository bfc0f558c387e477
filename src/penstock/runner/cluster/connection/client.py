"""How a runner comes by a client: of somebody else's cluster, or of one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
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

from penstock.errors import ClusterError, RunnerError
from penstock.runner.cluster.connection.settings import Configured, configured
from penstock.runner.cluster.connection.signals import block_interrupts
from penstock.runner.cluster.workers.job_queue import imported, is_job_queue, renewing, staggered
from penstock.runner.cluster.workers.waiting import log_while_waiting

_LOG = logging.getLogger(__name__)

CLOSE_SECONDS = 60.0
"""How long it is waited for a cluster to end."""

DASHBOARD_PORT = 8787
"""Where Dask's users look for the dashboard."""

FILE_POLL_SECONDS = 0.2
"""How soon it is looked again whether a scheduler has written its file."""

OF_THE_USER = ("asynchronous", "set_as_default")
"""What `distributed.Client` takes and a runner decides for itself."""


def accepted(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What `distributed.Client` is to be given, of what `DaskRunner` was given.

    Raises:
        RunnerError: Arguments that it could only misunderstand.
    """
    for name in OF_THE_USER:
        if arguments.get(name):
            raise RunnerError(
                f"DaskRunner takes no {name}: its client is for its runs alone. "
                "For such a client of your own, make one and give it: DaskRunner(client)"
            )
    for name in ("client", "address", "scheduler_file"):
        if arguments.get(name) == "":
            raise RunnerError(f"DaskRunner was given an empty {name}; was a variable not set?")
    return {name: value for name, value in arguments.items() if name not in {"client", *OF_THE_USER}}


def connected(
    arguments: Mapping[str, Any], stack: contextlib.ExitStack, patience_seconds: float
) -> tuple[Client, bool]:
    """A client, and whether its cluster ends with it; both are closed by the stack.

    Args:
        arguments: What `distributed.Client` takes; nothing for what Dask's configuration says.
        stack: Closes what is opened here.
        patience_seconds: How long to wait for a scheduler that has yet to write its file.

    Raises:
        ClusterError: No scheduler answers.
        RunnerError: Arguments, or a configuration, that nobody takes.
    """
    if not _is_temporary(arguments):
        return stack.enter_context(_client(arguments, patience_seconds)), False
    client = _started(arguments, stack)
    cluster = client.cluster
    if is_job_queue(cluster):
        _LOG.info(
            "The scheduler is at %s, its dashboard at %s", cluster.scheduler_address, client.dashboard_link
        )
    else:
        workers = len(client.nthreads())
        _LOG.info("%s of %d workers, dashboard at %s", type(cluster).__name__, workers, client.dashboard_link)
    return client, True


def _is_temporary(arguments: Mapping[str, Any]) -> bool:
    elsewhere = dask.config.get("scheduler-address", None) or dask.config.get("scheduler_address", None)
    return not (arguments.get("address") or arguments.get("scheduler_file") or elsewhere)


def _client(arguments: Mapping[str, Any], patience_seconds: float) -> Client:
    file = arguments.get("scheduler_file")
    if file:
        _await_file(Path(file), patience_seconds)
    try:
        return opened_client(**_secured(arguments))
    except FileNotFoundError as error:
        raise ClusterError(f"A file that security or scheduler_file names is not there: {error}") from error
    except (OSError, TimeoutError, asyncio.TimeoutError) as error:  # until Python 3.10 they were two
        raise ClusterError(
            f"No Dask scheduler answers ({error}). Is the cluster up, and the address right? "
            "One that speaks TLS has an address that begins with tls:// and wants security="
        ) from error
    except (TypeError, ValueError) as error:
        if "address" in str(error):
            raise RunnerError(
                f"{arguments.get('address')!r} is no address of a scheduler ({error}); one is like tcp://host:8786"
            ) from error
        if "ssl_context" not in str(error):
            raise RunnerError(f"distributed.Client does not take these arguments: {error}") from error
        raise ClusterError(
            "The scheduler speaks TLS, and the client has no certificates: give security=distributed.Security(tls_ca_file=..., "
            "tls_client_cert=..., tls_client_key=..., require_encryption=True), or the same as a dict"
        ) from error


def opened_client(**arguments: Any) -> Client:
    """A client; one that could not be opened is closed at once.

    Dask closes it when it is collected as garbage, for which it takes a lock that this thread may hold by then.
    """
    client = Client.__new__(Client)
    try:
        Client.__init__(client, **arguments, set_as_default=False)
    except BaseException:
        with contextlib.suppress(Exception):
            client.close()
        raise
    return client


def _await_file(path: Path, seconds: float) -> None:
    """Return when the scheduler has written its file; Dask alone would wait for ever, and say nothing.

    Raises:
        ClusterError: It has not, in time.
    """
    began = time.monotonic()
    with log_while_waiting(f"the scheduler's file {path}"):
        while not path.exists():
            if time.monotonic() - began > seconds:
                raise ClusterError(
                    f"Waited {seconds:g} s for the scheduler's file {path}; start one with `dask scheduler --scheduler-file {path}`"
                )
            time.sleep(FILE_POLL_SECONDS)


def _started(arguments: Mapping[str, Any], stack: contextlib.ExitStack) -> Client:
    """A client of a new cluster; both are closed by the stack.

    A thread starts them, so that Ctrl-C finds a whole cluster to close and not half a one.
    """
    if importlib.util.find_spec("bokeh") is None and arguments.get("dashboard_address"):
        raise ClusterError('The dashboard needs the package bokeh: pip install "penstock[dashboard]"')
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ClusterError(
            "A local cluster was asked for while one of its workers was starting: the script runs again in each worker. "
            'Put what starts the run under `if __name__ == "__main__":`'
        )
    with ThreadPoolExecutor(1, initializer=block_interrupts) as thread:
        starting = thread.submit(_start, arguments)
        # Before it is waited for: Ctrl-C may come twice, or in the moment in which it is there.
        stack.callback(_close, starting)
        _, client = starting.result()
    return client


def _close(starting: Future[tuple[Cluster, Client]]) -> None:
    """Close what has been started, when it is there."""
    if starting.exception() is None:
        cluster, client = starting.result()
        try:
            client.close()
        finally:
            _close_cluster(cluster)


def _close_cluster(cluster: Cluster) -> None:
    """Close a cluster, and wait for that not for ever: Dask sometimes does where a worker is being started once more."""
    if not isinstance(cluster, SpecCluster):
        cluster.close()
        return
    try:
        cluster.close(timeout=CLOSE_SECONDS)
    except asyncio.TimeoutError:
        _LOG.warning(
            "The cluster has not ended within %g s; what is left of it ends with this process", CLOSE_SECONDS
        )


def _start(arguments: Mapping[str, Any]) -> tuple[Cluster, Client]:
    _check_names(arguments)
    wanted = None if arguments else configured()
    of_client = inspect.signature(Client).parameters
    # Both take it: the cluster to have it, and a cluster's client from there.
    of_cluster = {
        name: value for name, value in arguments.items() if name not in of_client or name == "security"
    }
    rest = {name: value for name, value in arguments.items() if name in of_client and name != "security"}
    cluster = _local(of_cluster) if wanted is None else _of_configuration(wanted)
    try:
        if wanted is not None:
            _scale(cluster, wanted)
        return cluster, opened_client(**{**rest, "address": cluster})
    except BaseException:
        cluster.close()
        raise


def _check_names(arguments: Mapping[str, Any]) -> None:
    """Refuse what nobody takes: Dask starts workers with it, which die of it and say so in their own logs only."""
    if "worker_class" in arguments:
        return
    takers = {Client, LocalCluster, Nanny, *Worker.__mro__} - {object}
    known = {name for taker in takers for name in inspect.signature(taker).parameters}
    unknown = sorted(arguments.keys() - known)
    if unknown:
        near = [each for name in unknown for each in difflib.get_close_matches(name, known, 1)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise RunnerError(f"Arguments of a local cluster that nobody takes: {', '.join(unknown)}{hint}")


def _local(arguments: Mapping[str, Any]) -> LocalCluster:
    """A local cluster. It listens on loopback only, its dashboard too, unless it is told where else."""
    port = DASHBOARD_PORT if _is_free(DASHBOARD_PORT) else 0
    address = arguments.get("dashboard_address", port)
    if isinstance(address, int) or str(address).lstrip(":").isdigit():
        address = f"127.0.0.1:{str(address).lstrip(':')}"
    try:
        return LocalCluster(**{**_secured(arguments), "dashboard_address": address})
    except RuntimeError as error:
        raise ClusterError(
            f"A local cluster could not be started ({error}); what its workers say is shown above. A script that starts one puts "
            'what starts the run under `if __name__ == "__main__":`, since each worker runs the script again'
        ) from error


def _of_configuration(wanted: Configured) -> Cluster:
    if wanted.cls is None:
        return _local(wanted.arguments)
    cls, arguments = imported(wanted.cls), _secured(wanted.arguments)
    if is_job_queue(cls):
        _check_jobs(wanted)
        cls, arguments = renewing(cls), staggered(cls, arguments)
    try:
        cluster = cls(**arguments)
    except (TypeError, ValueError) as error:
        raise RunnerError(
            f"{wanted.cls} does not take the arguments of penstock.cluster in Dask's configuration: {error}"
        ) from error
    if not isinstance(cluster, Cluster):
        raise RunnerError(
            f"penstock.cluster.class in Dask's configuration is {wanted.cls}, which gives a {type(cluster).__name__} and no cluster"
        )
    return cluster


def _check_jobs(wanted: Configured) -> None:
    if not (wanted.scale or wanted.adapt or wanted.arguments.get("n_workers")):
        raise RunnerError(
            f"penstock.cluster in Dask's configuration asks for no job: {wanted.cls} starts without workers. "
            "Set scale, to 4 or {jobs: 4} for instance, or adapt, to {minimum_jobs: 1, maximum_jobs: 10}"
        )


def _scale(cluster: Cluster, wanted: Configured) -> None:
    try:
        if wanted.scale:
            cluster.scale(**wanted.scale)
        if wanted.adapt is not None:
            cluster.adapt(**wanted.adapt)
    except (TypeError, ValueError) as error:
        raise RunnerError(
            f"{wanted.cls or 'A local cluster'} cannot be scaled as penstock.cluster in Dask's configuration says: {error}"
        ) from error


def _secured(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with a `Security` where a file or a command line can have but a mapping."""
    security = arguments.get("security")
    return {**arguments, "security": Security(**security)} if isinstance(security, Mapping) else {**arguments}


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
