"""Shows what a run looks like when something fails, and how to go on from there.

python examples/failures/run.py
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import penstock
from penstock.pipeline import node, pipeline


def download(source: str, requests: Path) -> list[float]:
    """Rows of a server that answers the third request only; the file counts the requests."""
    number = len(requests.read_text()) + 1 if requests.exists() else 1
    requests.write_text("x" * number)
    if number < 3:  # noqa: PLR2004 - the third request
        raise ConnectionError(f"{source} did not answer")
    return [3.0, 5.0, 10.0]


def rate(rows: list[float], hours: int) -> float:
    """What came in an hour; fails if `hours` is 0."""
    return sum(rows) / hours


def crash(rows: list[float]) -> float:
    """Kill the process that runs the node, as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return sum(rows)


PIPELINE = pipeline(
    [
        node(download, ["params:source", "params:requests"], "rows", name="download"),
        node(rate, ["rows", "params:hours"], "rate", name="rate"),
    ]
)
CRASH = pipeline([node(crash, "rows", "total", name="crash")])


def create_catalog(folder: Path, **parameters: object) -> penstock.DataCatalog:
    """Where the data lives. `rows` is saved to a file, so that a later run finds it."""
    return penstock.DataCatalog(
        {
            "rows": penstock.JSONDataset(folder / "rows.json"),
            "rate": penstock.JSONDataset(folder / "rate.json"),
            "params:source": "example.org",
            "params:requests": folder / "requests",
            **{f"params:{name}": value for name, value in parameters.items()},
        }
    )


def show(title: str, run: Callable[[], penstock.RunResult]) -> None:
    """Print the outputs of a run, or the error that it ends with."""
    print(f"\n--- {title}")
    try:
        result = run()
    except Exception as error:  # noqa: BLE001 - the example shows what comes, whatever it is
        print(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", []):
            print(f"  note: {note}")
    else:
        print({name: dataset.load() for name, dataset in result.items()})


def main() -> None:
    """Run the pipeline in five ways; all but the fourth fail."""
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
    retries = {"download": penstock.NodePolicy(retries=3, retry_on=(ConnectionError,), wait_seconds=0.1)}
    with tempfile.TemporaryDirectory() as name, penstock.ParallelRunner(2) as runner:
        folder = Path(name)
        broken, mended = create_catalog(folder, hours=0), create_catalog(folder, hours=2)
        incomplete = create_catalog(folder)

        show("a parameter is missing", lambda: penstock.run(PIPELINE, incomplete, runner))
        show("a node raises", lambda: penstock.run(PIPELINE, broken, runner))
        show(
            "with retries; then another node raises",
            lambda: penstock.run(PIPELINE, broken, runner, policies=retries),
        )
        show("resumed", lambda: penstock.run(PIPELINE, mended, runner, only_missing_outputs=True))
        show("a process is killed", lambda: penstock.run(CRASH, mended, runner))


if __name__ == "__main__":
    main()
