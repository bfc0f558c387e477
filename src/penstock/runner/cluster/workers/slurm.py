"""What a queue says of the jobs of a cluster."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 20
"""How long a queue may take to answer; a busy Slurm takes its time."""

LOG_LINES = 8
"""How many lines of a job's own log are shown."""

LOG_BYTES = 4000
"""How much of the end of a log is read for them."""

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
"""Slurm's states of a job that runs, or will; in all others it is over, or about to be (`man squeue`)."""


@dataclass(frozen=True)
class State:
    """What a queue says of one job.

    Attributes:
        id: The queue's number for it; empty if it did not take the job.
        state: In the queue's word; empty if the queue was not, or could not be, asked.
        reason: Why it is in that state.
    """

    id: str
    state: str = ""
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the job surely does not run, and will not."""
        return not self.id or (bool(self.state) and self.state not in _ALIVE)

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason not in {"", "None"} else ""
        if not self.id:
            return f"a job that the queue did not take{reason}"
        return f"job {self.id}{': ' if self.state else ''}{self.state}{reason}"


def states(jobs: Mapping[str, Any]) -> dict[str, State]:
    """What the queue says of each job. Only Slurm is asked; of jobs in other queues it is not known whether they live.

    Args:
        jobs: Of one cluster, by their names there.
    """
    known: Mapping[str, State] = {}
    submitted = {job.job_id for job in jobs.values() if job.job_id}
    is_slurm = any((job.submit_command or "").startswith("sbatch") for job in jobs.values())
    if submitted and is_slurm:
        known = _slurm(submitted)
    return {name: _state(job, known) for name, job in jobs.items()}


def _state(job: Any, known: Mapping[str, State]) -> State:
    if not job.job_id:
        # Without a failure, it is being submitted just now.
        failure = getattr(job, "failure", None)
        return State("", reason=failure) if failure else State("?", "PENDING", "not submitted yet")
    return known.get(job.job_id, State(job.job_id))


def _slurm(ids: Iterable[str]) -> dict[str, State]:
    """Slurm's answer. A job that it has forgotten is over; without an answer nothing is known."""
    wanted = sorted(ids)
    asked = _answer(
        ["squeue", "--noheader", "--states=all", "--format=%i|%T|%r", f"--jobs={','.join(wanted)}"]
    )
    if asked is None:
        return {}
    told = [line.strip().split("|", 2) for line in asked.splitlines() if line.count("|") > 1]
    return {each: State(each, "GONE") for each in wanted} | {parts[0]: State(*parts) for parts in told}


def _answer(command: list[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - the queue's own command, and numbers that it gave
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and "Invalid job id" not in done.stderr:
        return None
    return done.stdout


def log_tail(job: Any) -> str:
    """The end of what the job wrote, below the name of its file; empty if there is nothing to be found."""
    is_of_job = re.compile(rf"(?<!\d){re.escape(str(job.job_id))}(?!\d)").search
    # Without a folder of its own, Slurm writes where the job was submitted.
    folder = Path(job.log_directory) if job.log_directory else None
    try:
        files = folder.iterdir() if folder else [Path(f"slurm-{job.job_id}.out")]
        tails = {path: _end_of(path) for path in sorted(files) if is_of_job(path.name)}
    except OSError:
        return ""
    return "\n".join(f"{path}:\n{_indented(tail)}" for path, tail in tails.items() if tail)


def _end_of(path: Path) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
        text = file.read().decode("utf-8", "replace")
    return [line for line in text.splitlines() if line.strip()][-LOG_LINES:]


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
