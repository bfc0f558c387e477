"""Clusters whose workers are jobs in a queue: any class of `dask_jobqueue`."""

from __future__ import annotations

import importlib
import itertools
import logging
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dask
from dask.utils import format_time, parse_timedelta
from distributed.deploy.spec import ProcessInterface

from penstock.errors import RunnerError
from penstock.runner.cluster.connection.signals import handlers_kept

_LOG = logging.getLogger(__name__)

STAGGER = 0.1
"""The part of a `--lifetime` by which workers may retire early, so that they do not all do so at once."""


def imported(path: str) -> Any:
    """What a dotted path names. Ctrl-C stays what it is.

    Raises:
        RunnerError: There is no such thing; says what to install if it is of `dask_jobqueue`.
    """
    module, _, name = path.rpartition(".")
    try:
        with handlers_kept():
            return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        hint = ': pip install "penstock[hpc]"' if path.startswith("dask_jobqueue.") else ""
        raise RunnerError(
            f"penstock.cluster.class in Dask's configuration is {path}, which cannot be imported ({error}){hint}"
        ) from error


def is_job_queue(cluster: Any) -> bool:
    """Whether the cluster, or class of clusters, starts its workers as jobs of a queue."""
    module = sys.modules.get("dask_jobqueue")
    if module is None:
        return False
    cls = cluster if isinstance(cluster, type) else type(cluster)
    return issubclass(cls, module.JobQueueCluster)


def renewing(cls: Any) -> Any:
    """A cluster class whose jobs can be replaced, tell why they could not be submitted, and close.

    With the class itself, the queue's refusal ends up in a log; a job that ended counts on; and a job that was never
    submitted keeps the cluster from closing, which asserts that all its jobs have.
    """
    numbers = itertools.count()

    class Job(cls.job_cls):  # type: ignore[misc]  # dask_jobqueue ships no types
        failure: str | None = None
        """What the command said that should have submitted it."""

        async def start(self) -> None:
            try:
                await super().start()
            except Exception as error:  # noqa: BLE001 - told by `failure`
                self.failure = _said(error)
                # To the cluster it is a job like others, until somebody looks.
                await ProcessInterface.start(self)

        async def close(self) -> None:
            await super().close()
            await ProcessInterface.close(self)

    class Cluster(cls):  # type: ignore[misc]  # the same
        job_cls = Job

        def _new_worker_name(self, worker_number: int) -> str:  # noqa: ARG002 - Dask's signature
            # Never one that was used before: the loss of a worker is noticed late, and by its name.
            return f"{self._name}-{next(numbers)}"

        async def replace(self, ended: Collection[str]) -> None:
            """Forget jobs that have ended, and ask for as many new ones, unless the cluster adapts and does so itself."""
            before = len(self.worker_spec)
            for name in ended:
                self.worker_spec.pop(name, None)
                job = self.workers.pop(name, None)
                if job is not None:
                    await job.close()
            if self._adaptive is None:
                self.scale(jobs=before)

    Job.__name__, Cluster.__name__ = cls.job_cls.__name__, cls.__name__
    return Cluster


def _said(error: Exception) -> str:
    """What the command wrote to stderr, which dask_jobqueue puts at the end of a longer story."""
    said = str(error).rpartition("stderr:\n")[2].strip().splitlines()
    return "; ".join(line.strip() for line in said) or repr(error)


def staggered(cls: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a cluster, whose workers do not all retire at the same time if they have a `--lifetime`.

    No worker lives longer than it said: it is shortened by as much as it may vary.
    """
    name = arguments.get("config_name") or cls.job_cls.config_name
    configured: Sequence[str] = dask.config.get(f"jobqueue.{name}.worker-extra-args", None) or []
    given = [str(each) for each in arguments.get("worker_extra_args") or configured]
    # `--lifetime 55m` and `--lifetime=55m` are the same, and both may stand in one string.
    words = " ".join(given).replace("--lifetime=", "--lifetime ").split()
    if "--lifetime" not in words[:-1] or any(word.startswith("--lifetime-stagger") for word in words):
        return dict(arguments)
    place = words.index("--lifetime")
    seconds = parse_timedelta(words[place + 1])
    words[place + 1] = f"{seconds * (1 - STAGGER):g}s"
    extra = [*words, "--lifetime-stagger", f"{seconds * STAGGER:g}s"]
    _LOG.info(
        "Workers retire one after the other, between %s and %s after they start",
        format_time(seconds * (1 - 2 * STAGGER)),
        format_time(seconds),
    )
    return {**arguments, "worker_extra_args": extra}
