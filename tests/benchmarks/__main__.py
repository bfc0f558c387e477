"""`python -m tests.benchmarks`: one table, and one picture."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import growth, handover, memory, overhead, start, wide, wire
from tests.benchmarks.machine import description
from tests.benchmarks.table import Effort, Result, Row, table

BENCHMARKS = {
    **overhead.BENCHMARKS,
    **growth.BENCHMARKS,
    **handover.BENCHMARKS,
    **memory.BENCHMARKS,
    **start.BENCHMARKS,
    **wide.BENCHMARKS,
    **wire.BENCHMARKS,
}

Measured = list[tuple[Row, Result]]


def measured(names: Sequence[str], effort: Effort) -> Measured:
    """The rows of the benchmarks with what came out; what is being done goes to the standard error."""
    rows: Measured = []
    for name in names:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)  # noqa: T201
        started = time.perf_counter()
        benchmark = BENCHMARKS[name]
        rows += zip(benchmark.rows, benchmark.measure(effort), strict=True)
        print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)  # noqa: T201
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    machine = description()
    rows = measured(given.only or list(BENCHMARKS), Effort(given.quick))
    print(f"{table(rows)}\n\n{machine}")  # noqa: T201
    if given.quick:
        print("Quick: small works, one round each; the numbers mean nothing.")  # noqa: T201
    if importlib.util.find_spec("matplotlib") is None:
        print("No picture: matplotlib is not installed.", file=sys.stderr)  # noqa: T201
        return
    from tests.benchmarks.picture import draw  # noqa: PLC0415 - may be missing

    draw(rows, given.picture)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=f"of {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--quick", action="store_true", help="small works, to see that it runs")
    parser.add_argument("--picture", type=Path, default=Path("benchmarks.png"), help="where to draw it")
    return parser


if __name__ == "__main__":
    main()
