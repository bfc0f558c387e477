"""The states of a cluster's jobs, as Slurm reports them, and the logs of jobs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

SQUEUE_SECONDS = 20
"""How long `squeue` may take; a busy Slurm is slow."""

JOB_LOG_LINES = 8
"""How many lines of a job's log an error shows."""

JOB_LOG_BYTES = 4000
"""How much of the end of a job's log is read to find these lines."""

_ALIVE = {
    "CONFIGURING",
    "PENDING",
    "RUNNING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "RESIZING",
    "SPECIAL_EXIT",
    "SUSPENDED",
}
"""Slurm's states of a job that runs, or will run. In all other states the job has ended or is about to end (`man squeue`)."""


@dataclass(frozen=True)
class JobState:
    """What a queue reports about one job.

    Attributes:
        id: The queue's number of the job; empty if the queue did not take the job.
        state: The queue's word for the state; empty if it is not known.
        reason: Why the job is in that state.
    """

    id: str
    state: str = ""
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the job certainly does not run, and will not run."""
        return not self.id or (bool(self.state) and self.state not in _ALIVE)

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason not in {"", "None"} else ""
        if not self.id:
            return f"a job that the queue did not take{reason}"
        return f"job {self.id}{': ' if self.state else ''}{self.state}{reason}"


def job_states(jobs: Mapping[str, Any]) -> dict[str, JobState]:
    """The state of each job. Only Slurm is asked; the states of jobs in other queues are not known.

    Args:
        jobs: The jobs of one cluster, by their names there.
    """
    submitted = {job.job_id for job in jobs.values() if job.job_id}
    is_slurm = any((job.submit_command or "").startswith("sbatch") for job in jobs.values())
    known = _slurm_states(submitted) if submitted and is_slurm else {}
    return {name: _job_state(job, known) for name, job in jobs.items()}


def _job_state(job: Any, known: Mapping[str, JobState]) -> JobState:
    if not job.job_id:
        # A job without an id and without a failure is being submitted at this moment.
        failure = getattr(job, "failure", None)
        return JobState("", reason=failure) if failure else JobState("?", "PENDING", "not submitted yet")
    return known.get(job.job_id, JobState(job.job_id))


def _slurm_states(ids: Iterable[str]) -> dict[str, JobState]:
    """The states by job id. Jobs that Slurm has forgotten are over; the result is empty if Slurm does not answer."""
    wanted = sorted(ids)
    command = ["squeue", "--noheader", "--states=all", "--format=%i|%T|%r", f"--jobs={','.join(wanted)}"]
    try:
        done = subprocess.run(  # noqa: S603 - the queue's own command, and numbers that the queue gave
            command, capture_output=True, text=True, timeout=SQUEUE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    if done.returncode and "Invalid job id" not in done.stderr:
        return {}
    rows = [line.strip().split("|", 2) for line in done.stdout.splitlines() if line.count("|") > 1]
    return {id_: JobState(id_, "GONE") for id_ in wanted} | {row[0]: JobState(*row) for row in rows}


def log_tail_text(job: Any) -> str:
    """The last lines of a job's log, below the name of its file; empty if there is no log.

    Args:
        job: A job of `dask_jobqueue` that has an id.
    """
    is_of_job = re.compile(rf"(?<!\d){re.escape(str(job.job_id))}(?!\d)").search
    # Without a log folder, Slurm writes to the folder from which the job was submitted.
    folder = Path(job.log_directory) if job.log_directory else None
    try:
        files = folder.iterdir() if folder else [Path(f"slurm-{job.job_id}.out")]
        tails = {path: _last_lines(path) for path in sorted(files) if is_of_job(path.name)}
    except OSError:
        return ""
    return "\n".join(f"{path}:\n{indent(tail, '    ')}" for path, tail in tails.items() if tail)


def _last_lines(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - JOB_LOG_BYTES))
        text = file.read().decode("utf-8", "replace")
    return "\n".join([line for line in text.splitlines() if line.strip()][-JOB_LOG_LINES:])
