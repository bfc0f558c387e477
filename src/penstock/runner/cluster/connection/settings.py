"""The user's settings: arguments of `DaskRunner`, and the section `penstock` of Dask's configuration.

The file `penstock.yaml`, next to this one, lists the keys of the section, with their meanings and defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.config
from distributed import Client
from distributed.deploy import Cluster

from penstock.errors import ClusterError, RunnerError
from penstock.runner.worker_count import check_count

_DEFAULTS: dict[str, Any]
[_DEFAULTS] = dask.config.collect_yaml([str(Path(__file__).with_name("penstock.yaml"))])
dask.config.update_defaults(_DEFAULTS)

SET_BY_RUNNER = ("asynchronous", "set_as_default")
"""Arguments of `distributed.Client` that the runner sets itself."""


# Arguments of DaskRunner


def client_arguments(client: object, client_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for `distributed.Client`, without those that the runner sets itself.

    Args:
        client: The first argument of `DaskRunner`.
        client_kwargs: The arguments for `distributed.Client`.

    Raises:
        RunnerError: The client is no client, cluster or address, or there are arguments as well; an argument that the runner
            sets itself; an empty address; or a wrong number of workers.
    """
    if client is not None and client_kwargs:
        hint = f"write address={client!r}" if isinstance(client, str) else "give one or the other"
        raise RunnerError(
            f"DaskRunner was given a client and also {', '.join(sorted(client_kwargs))}; {hint}"
        )
    if not isinstance(client, Client | Cluster | str | None):
        raise RunnerError(
            f"DaskRunner takes a distributed Client, a cluster or an address, not a {type(client).__name__}"
        )
    for name in SET_BY_RUNNER:
        if client_kwargs.get(name):
            raise RunnerError(
                f"DaskRunner does not take {name}: it uses its client for its own runs only. "
                "To use such a client, create it and pass it: DaskRunner(client)"
            )
    for name, value in {"client": client, **client_kwargs}.items():
        if name in {"client", "address", "scheduler_file"} and value == "":
            raise RunnerError(f"DaskRunner was given an empty {name}; was a variable not set?")
    if client_kwargs.get("n_workers") is not None:
        check_count("n_workers", client_kwargs["n_workers"])
    return {name: value for name, value in client_kwargs.items() if name not in SET_BY_RUNNER}


def check_client(client: Client) -> None:
    """Check that a run can use the client.

    Args:
        client: A client that the user has opened.

    Raises:
        ClusterError: The client is closed or asynchronous.
    """
    if client.status != "running":
        raise ClusterError(f"The client is {client.status}; give DaskRunner an open distributed.Client")
    if client.asynchronous:
        raise ClusterError(
            "The client is asynchronous; give DaskRunner a Client made without asynchronous=True"
        )


def check_kept_cluster(client: Client) -> None:
    """Check that a run can use the cluster that an open runner keeps.

    Args:
        client: Connected to the cluster.

    Raises:
        ClusterError: The scheduler has ended.
    """
    if client.status != "running":
        raise ClusterError(
            "The cluster that this runner keeps has ended. Close the runner, and open it again to start another"
        )


# Dask's configuration


@dataclass(frozen=True)
class ClusterSettings:
    """The cluster that Dask's configuration describes, for a `DaskRunner()` without arguments.

    Attributes:
        cls: The import path of the cluster's class, or of a function that returns a cluster; None for a local cluster.
        arguments: The arguments of the class.
        scale: The arguments of the cluster's `scale`; empty to leave the cluster at the size with which it starts.
        adapt: The arguments of the cluster's `adapt`; None for a cluster of fixed size.
    """

    cls: str | None
    arguments: Mapping[str, Any] = field(repr=False)
    scale: Mapping[str, Any]
    adapt: Mapping[str, Any] | None


def cluster_settings() -> ClusterSettings | None:
    """The cluster that Dask's configuration describes; None if it describes none.

    Raises:
        RunnerError: An unknown key, or a value that makes no sense.
    """
    section = _section("penstock.cluster", _DEFAULTS["penstock"]["cluster"])
    if not any(value is not None and value != {} for value in section.values()):
        return None
    cls, scale, adapt = section["class"], section["scale"], section["adapt"]
    if scale is not None and adapt is not None:
        raise RunnerError(
            "penstock.cluster in Dask's configuration has both scale and adapt; a cluster has a fixed size, or it adapts"
        )
    if cls is not None and (not isinstance(cls, str) or "." not in cls):
        raise _wrong("penstock.cluster.class", cls, "an import path, dask_jobqueue.SLURMCluster for instance")
    return ClusterSettings(
        cls,
        _arguments("arguments", section["arguments"] or {}),
        _arguments("scale", {"n": scale} if _is_number(scale) else scale or {}),
        None if adapt is None else _arguments("adapt", adapt),
    )


def worker_timeout(seconds: float | None) -> float:
    """How many seconds a run waits for a worker.

    Args:
        seconds: The argument of `DaskRunner`; None for the value in Dask's configuration.

    Raises:
        RunnerError: The value is not a positive number.
    """
    name = "worker_timeout_seconds"
    if seconds is None:
        seconds = _section("penstock", _DEFAULTS["penstock"])["worker-timeout-seconds"]
        name = "penstock.worker-timeout-seconds in Dask's configuration"
    if not _is_number(seconds) or seconds <= 0:
        raise RunnerError(
            f"{name} is {seconds!r}; give the number of seconds to wait for a worker, {_DEFAULTS['penstock']['worker-timeout-seconds']} for instance"
        )
    return float(seconds)


def _section(path: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A section of Dask's configuration over its defaults. Its keys may be written with - or _."""
    section = dask.config.get(path)
    if not isinstance(section, Mapping):
        raise _wrong(path, section, f"a mapping with {', '.join(defaults)}")
    values = {key.replace("_", "-"): value for key, value in section.items()}
    unknown = sorted(set(values) - set(defaults))
    if unknown:
        raise RunnerError(
            f"Unexpected keys for {path} in Dask's configuration: {', '.join(unknown)}; it takes {', '.join(defaults)}"
        )
    return {**defaults, **values}


def _arguments(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(f"penstock.cluster.{key}", value, "arguments by name")
    return {name.replace("-", "_"): each for name, each in value.items()}


def _wrong(path: str, value: object, wanted: str) -> RunnerError:
    return RunnerError(f"{path} in Dask's configuration is {value!r}; give {wanted}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
