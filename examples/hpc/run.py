"""Estimates pi on the jobs of a queue: 24 nodes throw darts, one counts them, and the answer is saved."""

from __future__ import annotations

import argparse
import logging
import random
from pathlib import Path

import penstock
from penstock.pipeline import node, pipeline

PARTS = 24


def throw(darts: int, seed: int) -> int:
    """How many of the darts hit the quarter of a circle."""
    dice = random.Random(seed)  # noqa: S311 - nobody guards anything with these numbers
    return sum(dice.random() ** 2 + dice.random() ** 2 <= 1 for _ in range(darts))


def estimate(darts: int, *hits: int) -> str:
    """Pi, as text."""
    return f"{4 * sum(hits) / (darts * len(hits)):.4f}\n"


def main() -> None:
    """Run it where Dask's configuration says, and wait for the answer."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--darts", type=int, default=1_000_000, help=f"for each of the {PARTS} nodes")
    arguments.add_argument(
        "--output", type=Path, default=Path("pi.txt"), help="in a folder that the jobs see"
    )
    given = arguments.parse_args()
    log = logging.getLogger("penstock")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)

    seeds = [f"seed_{index}" for index in range(PARTS)]
    hits = [f"hits_{index}" for index in range(PARTS)]
    nodes = [
        node(throw, ["darts", seed], hit, name=f"throw_{seed}") for seed, hit in zip(seeds, hits, strict=True)
    ]
    pipe = pipeline([*nodes, node(estimate, ["darts", *hits], "pi", name="estimate")])
    catalog = penstock.DataCatalog(
        {
            "darts": given.darts,
            "pi": penstock.TextDataset(given.output),
            **{seed: index for index, seed in enumerate(seeds)},
        }
    )
    result = penstock.run(pipe, catalog, penstock.DaskRunner())

    print("pi is about", result["pi"].load().strip())
    print("thrown on", len({record.worker for record in result.records}), "workers")


if __name__ == "__main__":
    main()
