"""`python -m tests.benchmarks.others`: what a small node costs in Prefect and in Dagster, beside Penstock in the same run.

    pip install . prefect dagster && python -m tests.benchmarks.others

Each tool runs the grid of `work.py` in the way that its manual gives for one machine: Prefect as a flow whose tasks are submitted to
its thread pool, Dagster as a job that is executed in this process. Pipelines are built before the clock starts, the loggers are
quiet, and a first run, which starts Prefect's temporary server, does not count. Times are CPU times of the process that runs the
pipeline, so that other programs do not count; nor does the server of Prefect. A tool that is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from penstock import SequentialRunner, ThreadRunner
from tests.benchmarks.fresh import called_fresh
from tests.benchmarks.machine import description
from tests.benchmarks.overhead import WIDE, our_run
from tests.benchmarks.table import per_node
from tests.benchmarks.timing import in_turn, ratio, timed
from tests.benchmarks.work import FREE, LAST, Step, catalog, grid, ours

THREADS = 2

COLUMNS = ("tool", "how it runs", "its time", "Penstock", "our time", "ratio")

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Its first start makes a database, which takes longer on a busy machine than the 20 s that it has.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
}

Run = Callable[[], int]
"""Runs the whole grid and returns the value of its last node."""


def prefect_run(steps: Sequence[Step]) -> Run:
    """A flow that submits each step to a pool of threads, and hands over the futures of its inputs."""
    from prefect import flow, task  # noqa: PLC0415 - may be missing
    from prefect.task_runners import ThreadPoolTaskRunner  # noqa: PLC0415

    task_by_function = {function: task(function) for function in {step.function for step in steps}}

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=THREADS))
    def whole() -> int:
        values: dict[str, Any] = dict(FREE)
        for step in steps:
            inputs = [values[name] for name in step.inputs]
            values[step.output] = task_by_function[step.function].submit(*inputs)
        return values[LAST].result()

    return whole


def dagster_run(steps: Sequence[Step]) -> Run:
    """A job with an op for each step, executed in this process; values stay in memory."""
    from dagster import In, Out, job, op  # noqa: PLC0415 - may be missing

    # Two functions make a grid: `add`, which takes two values, and `total`, which takes all of the last layer.
    *grid_steps, last = steps
    (add,) = {step.function for step in grid_steps}

    @op
    def add_op(left: int, right: int) -> int:
        return add(left, right)

    @op(ins={"values": In(list)})
    def total_op(values: list[int]) -> int:
        return last.function(*values)

    @op(out={name: Out(int) for name in FREE})
    def free_op() -> tuple[int, ...]:
        return tuple(FREE.values())

    @job
    def whole() -> None:
        values = dict(zip(FREE, free_op(), strict=True))
        for step in grid_steps:
            values[step.output] = add_op.alias(step.output)(*(values[name] for name in step.inputs))
        total_op.alias(LAST)([values[name] for name in last.inputs])

    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    return lambda: whole.execute_in_process(run_config=quiet).output_for_node(LAST)


@dataclass(frozen=True)
class Tool:
    """What Penstock is compared with.

    Attributes:
        name: What its authors call it.
        how: What runs the pipeline, as its manual says for one machine.
        make: Builds the pipeline, and gives what runs it.
        runner: The runner of Penstock that works alike.
    """

    name: str
    how: str
    make: Callable[[Sequence[Step]], Run]
    runner: Any


TOOLS = {
    "prefect": Tool(
        "Prefect",
        f"a flow with `ThreadPoolTaskRunner(max_workers={THREADS})`",
        prefect_run,
        ThreadRunner(THREADS),
    ),
    "dagster": Tool("Dagster", "a job with `execute_in_process()`", dagster_run, SequentialRunner()),
}


def row(package: str, deep: int, rounds: int) -> list[str]:
    """The tool and Penstock in turn: what each takes for a node."""
    tool, steps = TOOLS[package], grid(WIDE, deep)
    theirs = tool.make(steps)
    check_same_result(package, theirs, tool.runner, steps)
    clock = time.process_time
    contestants = {"theirs": lambda: timed(theirs, clock), "ours": our_run(tool.runner, steps, clock)}
    taken = in_turn(contestants, rounds)
    return [
        f"{tool.name} {importlib.metadata.version(package)}",
        tool.how,
        per_node(median(taken["theirs"]), len(steps)),
        f"`{type(tool.runner).__name__}`",
        per_node(median(taken["ours"]), len(steps)),
        f"{ratio(taken['theirs'], taken['ours']):,.0f} x",
    ]


def check_same_result(package: str, theirs: Run, runner: Any, steps: Sequence[Step]) -> None:
    """A comparison of two programs that do different things would be none."""
    results = (theirs(), runner.run(ours(steps), catalog())[LAST].load())
    if len(set(results)) != 1:
        raise ValueError(f"{package} and Penstock computed different values: {results}")


def measured(package: str, deep: int, rounds: int) -> list[str]:
    """The row of a tool, in an interpreter of its own: what the tool leaves running ends with it."""
    # The databases of both tools, which would else be in the user's home.
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update({**QUIET, "PREFECT_HOME": folder, "DAGSTER_HOME": folder})
        cells: list[str] = called_fresh("others", "row", package, deep, rounds)
        return cells


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, then the machine and the versions."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.others", description=__doc__)
    parser.add_argument("--deep", type=int, default=50, help=f"layers of {WIDE} nodes; default: 50")
    parser.add_argument("--rounds", type=int, default=2, help="timed runs of each tool; default: 2")
    given = parser.parse_args(arguments)
    machine = description()
    installed = [package for package in TOOLS if importlib.util.find_spec(package)]
    rows = [measured(package, given.deep, given.rounds) for package in installed]
    lines = [f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows)]
    work = f"{WIDE} wide x {given.deep} deep, {len(grid(WIDE, given.deep)):,} nodes; medians of {given.rounds} runs in turn."
    print("\n".join([*lines, "", work, machine]))  # noqa: T201


if __name__ == "__main__":
    main()
