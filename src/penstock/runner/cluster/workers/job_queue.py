"""Clusters whose workers are jobs of a batch queue: all classes of `dask_jobqueue`."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import signal
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dask
from dask.utils import format_time, parse_timedelta
from distributed.deploy.spec import ProcessInterface

from penstock.errors import RunnerError
from penstock.logs.current_node import replaced

_LOG = logging.getLogger(__name__)

LIFETIME_STAGGER_FRACTION = 0.1
"""The part of a `--lifetime` by which workers may stop early, so that they do not all stop at the same time."""


def import_class(path: str) -> Any:
    """Import the class, or the function, that a dotted path names. Ctrl-C keeps its meaning.

    Args:
        path: For instance `dask_jobqueue.SLURMCluster`.

    Raises:
        RunnerError: The import fails. If `dask_jobqueue` is missing, the error says what to install.
    """
    module, _, name = path.rpartition(".")
    try:
        with keeping_signal_handlers():
            return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        hint = ": pip install dask-jobqueue" if path.startswith("dask_jobqueue.") else ""
        raise RunnerError(
            f"penstock.cluster.class in Dask's configuration is {path}, which cannot be imported ({error}){hint}"
        ) from error


# Jobs


def with_replaceable_jobs(cls: Any) -> Any:
    """A subclass of a cluster class, whose jobs can be replaced, keep why they could not be submitted, and close.

    The class itself logs that the queue refuses a job, and keeps no reason; counts jobs that have ended; and asserts, when it
    closes, that all its jobs are closed, which a job that was never submitted is not.

    Args:
        cls: A subclass of `dask_jobqueue.JobQueueCluster`.
    """
    numbers = itertools.count()

    class Job(cls.job_cls):  # type: ignore[misc]  # dask_jobqueue ships no types
        failure: str | None = None
        """The error of the command that submits the job."""

        async def start(self) -> None:
            try:
                await super().start()
            except Exception as error:  # noqa: BLE001 - kept in `failure`
                self.failure = _submit_error_text(error)
                # To the cluster it is a job like others, until the supervisor finds its failure.
                await ProcessInterface.start(self)

        async def close(self) -> None:
            await super().close()
            await ProcessInterface.close(self)

    class Cluster(cls):  # type: ignore[misc]  # the same
        job_cls = Job

        # Private to distributed's `SpecCluster`: no public method names new workers. If it changes, the cluster uses the name of
        # a job that has ended again, and removes the new job when the loss of the old one is noticed.
        # `test_a_job_that_is_cancelled_is_replaced` (Slurm) notices.
        def _new_worker_name(self, worker_number: int) -> str:  # noqa: ARG002 - Dask's signature
            # `_name` is the cluster's name as the queue sees it; `test_a_run_on_two_nodes` (Slurm) fails without it.
            return f"{self._name}-{next(numbers)}"

        async def replace(self, ended: Collection[str]) -> None:
            """Forget jobs that have ended, and submit as many new ones, unless the cluster adapts and does so itself.

            Args:
                ended: The names of the jobs.
            """
            before = len(self.worker_spec)
            for name in ended:
                self.worker_spec.pop(name, None)
                job = self.workers.pop(name, None)
                if job is not None:
                    await job.close()
            # Private to distributed's `Cluster`: no public name says whether it adapts. If it changes, replacing a job raises
            # AttributeError. `test_a_job_that_is_cancelled_is_replaced_by_a_cluster_that_adapts` (Slurm) notices.
            if self._adaptive is None:
                self.scale(jobs=before)

    Job.__name__, Cluster.__name__ = cls.job_cls.__name__, cls.__name__
    return Cluster


def _submit_error_text(error: Exception) -> str:
    """What the command wrote to stderr, which dask_jobqueue puts at the end of its message."""
    lines = str(error).rpartition("stderr:\n")[2].strip().splitlines()
    return "; ".join(line.strip() for line in lines) or repr(error)


def with_staggered_lifetimes(cls: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a cluster whose workers, if they have a `--lifetime`, do not all stop at the same time.

    No worker lives longer than its `--lifetime`, which is shortened by as much as it varies.

    Args:
        cls: A subclass of `dask_jobqueue.JobQueueCluster`.
        arguments: Its arguments.
    """
    name = arguments.get("config_name") or cls.job_cls.config_name
    configured: Sequence[str] = dask.config.get(f"jobqueue.{name}.worker-extra-args", None) or []
    given = [str(each) for each in arguments.get("worker_extra_args") or configured]
    # `--lifetime 55m` and `--lifetime=55m` are the same, and one string may hold both words.
    words = " ".join(given).replace("--lifetime=", "--lifetime ").split()
    if "--lifetime" not in words[:-1] or any(word.startswith("--lifetime-stagger") for word in words):
        return dict(arguments)
    place = words.index("--lifetime")
    seconds = parse_timedelta(words[place + 1])
    words[place + 1] = f"{seconds * (1 - LIFETIME_STAGGER_FRACTION):g}s"
    extra = [*words, "--lifetime-stagger", f"{seconds * LIFETIME_STAGGER_FRACTION:g}s"]
    _LOG.info(
        "Workers stop one after the other, between %s and %s after they start",
        format_time(seconds * (1 - 2 * LIFETIME_STAGGER_FRACTION)),
        format_time(seconds),
    )
    return {**arguments, "worker_extra_args": extra}


# Ctrl-C, whose handler `dask_jobqueue` replaces

_patch_lock = threading.Lock()


@contextlib.contextmanager
def keeping_signal_handlers() -> Iterator[None]:
    """Keep modules that this thread imports inside the block from setting a handler for Ctrl-C.

    `dask_jobqueue` sets one that ends the process with exit code 0. Outside of the main thread its import fails, since only
    the main thread can set a handler.
    """
    importer = threading.get_ident()

    def ignoring_importer(number: int, handler: Any) -> Any:
        if threading.get_ident() == importer and number == signal.SIGINT:
            return signal.getsignal(number)
        return original(number, handler)

    with _patch_lock:
        original = signal.signal
        with replaced(signal, "signal", ignoring_importer):
            yield
