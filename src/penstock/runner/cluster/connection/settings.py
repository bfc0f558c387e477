"""The section `penstock` of Dask's configuration. `penstock.yaml`, next to this file, has its keys, what they mean, and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.config

from penstock.errors import RunnerError

_DEFAULTS: dict[str, Any]
[_DEFAULTS] = dask.config.collect_yaml([str(Path(__file__).with_name("penstock.yaml"))])
dask.config.update_defaults(_DEFAULTS)


@dataclass(frozen=True)
class Configured:
    """The cluster of a `DaskRunner()` without arguments.

    Attributes:
        cls: The import path of its class, or of a function that returns one; None for a local cluster.
        arguments: What it takes.
        scale: What its `scale` takes; nothing to leave it as it starts.
        adapt: What its `adapt` takes; None not to adapt.
    """

    cls: str | None
    arguments: Mapping[str, Any] = field(repr=False)
    scale: Mapping[str, Any]
    adapt: Mapping[str, Any] | None


def configured() -> Configured | None:
    """The cluster that Dask's configuration describes; None if it describes none.

    Raises:
        RunnerError: The section has keys that nobody reads, or values that make no sense.
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
        raise RunnerError(
            f"penstock.cluster.class in Dask's configuration is {cls!r}; give an import path, dask_jobqueue.SLURMCluster for instance"
        )
    return Configured(
        cls,
        _arguments("arguments", section["arguments"] or {}),
        _arguments("scale", {"n": scale} if _is_number(scale) else scale or {}),
        None if adapt is None else _arguments("adapt", adapt),
    )


def worker_timeout(given: float | None) -> float:
    """How many seconds a run waits for a worker: as given, or as configured.

    Raises:
        RunnerError: It is no positive number.
    """
    name = "worker_timeout_seconds"
    if given is None:
        given = _section("penstock", _DEFAULTS["penstock"])["worker-timeout-seconds"]
        name = "penstock.worker-timeout-seconds in Dask's configuration"
    if not _is_number(given) or given <= 0:
        raise RunnerError(
            f"{name} is {given!r}; give the number of seconds to wait for a worker, {_DEFAULTS['penstock']['worker-timeout-seconds']} for instance"
        )
    return float(given)


def _section(path: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The section, whatever its keys are written with, - or _."""
    section = dask.config.get(path)
    if not isinstance(section, Mapping):
        raise RunnerError(
            f"{path} in Dask's configuration is {section!r}; give a mapping with {', '.join(defaults)}"
        )
    written = {key.replace("_", "-"): value for key, value in section.items()}
    unknown = sorted(set(written) - set(defaults))
    if unknown:
        raise RunnerError(
            f"{path} in Dask's configuration has {', '.join(unknown)}, which nobody reads; it takes {', '.join(defaults)}"
        )
    return {**defaults, **written}


def _arguments(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise RunnerError(
            f"penstock.cluster.{key} in Dask's configuration is {value!r}; give arguments by name"
        )
    return {name.replace("-", "_"): each for name, each in value.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
