"""The README's first program with typed functions in place of lambdas, which have no types.

python tests/typing/first_run_typed.py
"""

# pyright: strict

from __future__ import annotations

import penstock
from penstock.pipeline import node, pipeline


def measured(raw: list[float | None]) -> list[float]:
    """Without gaps."""
    return [x for x in raw if x is not None]


def average(clean: list[float]) -> float:
    """The mean."""
    return sum(clean) / len(clean)


def width(clean: list[float]) -> float:
    """From the lowest to the highest."""
    return max(clean) - min(clean)


clean = node(measured, "raw", "clean", name="clean")
mean = node(average, "clean", "mean", name="mean")
spread = node(width, "clean", "spread", name="spread")
report = node("mean {:.1f}, spread {:.1f}".format, ["mean", "spread"], "report", name="report")

catalog = penstock.DataCatalog({"raw": [3.0, None, 5.0, 10.0], "report": penstock.TextDataset("report.txt")})
runner = penstock.ThreadRunner()
result = penstock.run(pipeline([clean, mean, spread, report]), catalog, runner)

print(result["report"].load())
print("made by", result.producers["report"], "after", len(result.records) - 1, "other nodes")
