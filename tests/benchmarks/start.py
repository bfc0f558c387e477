"""How long one waits before the first node runs: for imports, and for processes to start."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from statistics import median

from tests.benchmarks.fresh import ROOT, called_fresh
from tests.benchmarks.table import Bar, Benchmark, Effort, Result, Row, seconds
from tests.benchmarks.timing import in_turn, ratio, timed

BARE = "dask, dask.local, dask.threaded, pluggy"
"""What `import penstock` cannot do without."""

PROGRAM = """
import sys, time
started = time.process_time()
import {modules}
print(time.process_time() - started)
"""


def imports(effort: Effort) -> list[Result]:
    with tempfile.TemporaryDirectory() as compiled:
        contestants = {
            "ours": lambda: _import_seconds("penstock", compiled),
            "bare": lambda: _import_seconds(BARE, compiled),
        }
        taken = in_turn(contestants, effort.rounds(7))
    cells = {name: seconds(median(times)) for name, times in taken.items()}
    return [Result(**cells, value=ratio(taken["ours"], taken["bare"]))]


def _import_seconds(modules: str, compiled: str) -> float:
    """What the import takes where Python finds the modules compiled, as it does from the second import on.

    Args:
        modules: What is imported.
        compiled: The folder for what Python compiles.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(modules=modules)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def runs(effort: Effort) -> list[Result]:
    taken: dict[str, list[list[float]]] = {"ours": [], "bare": []}

    def first_seconds(name: str, function: str) -> float:
        first_and_second: list[float] = called_fresh("start", function)
        taken[name].append(first_and_second)
        return first_and_second[0]

    contestants = {
        "ours": lambda: first_seconds("ours", "our_runs"),
        "bare": lambda: first_seconds("bare", "bare_runs"),
    }
    firsts = in_turn(contestants, effort.rounds(5))
    cells = {name: seconds(median(times)) for name, times in firsts.items()}
    second = {name: median(each[1] for each in times) for name, times in taken.items()}
    return [
        Result(**cells, value=ratio(firsts["ours"], firsts["bare"])),
        Result(seconds(second["ours"]), seconds(second["bare"]), value=1000 * second["ours"]),
    ]


def our_runs() -> list[float]:
    """The seconds of the first run in processes, by itself, and of the second in an open runner."""
    from penstock import DataCatalog, ParallelRunner  # noqa: PLC0415 - the interpreter is new, and imports are not what is timed
    from tests.benchmarks.work import LAST, catalog, grid, ours  # noqa: PLC0415

    pipe = ours(grid(2, 1))

    def run(runner: ParallelRunner) -> float:
        def output(data: DataCatalog) -> int:
            value: int = runner.run(pipe, data)[LAST].load()
            return value

        return timed(functools.partial(output, catalog()))

    first = run(ParallelRunner(2))
    with ParallelRunner(2) as runner:
        return [first, [run(runner), run(runner)][1]]


def bare_runs() -> list[float]:
    """The same of Dask, with a pool of the same kind."""
    from tests.benchmarks.pools import get_in, loky_pool  # noqa: PLC0415
    from tests.benchmarks.work import bare, grid  # noqa: PLC0415

    steps = grid(2, 1)

    def run_by_itself() -> None:
        with loky_pool() as pool:
            get_in(pool, *bare(steps))

    first = timed(run_by_itself)
    with loky_pool() as pool:
        return [first, [timed(lambda: get_in(pool, *bare(steps))) for _ in range(2)][1]]


BENCHMARKS = {
    "import": Benchmark(
        (Row("start, import penstock", f"in a new Python; bare: import {BARE}", Bar(1.25)),), imports
    ),
    "start": Benchmark(
        (
            Row(
                "start, run in processes by itself",
                "3 nodes, the first; bare: the same kind of pool",
                Bar(1.5),
            ),
            Row("start, second run in an open runner", "3 nodes, run whole", Bar(50, "ms")),
        ),
        runs,
    ),
}
