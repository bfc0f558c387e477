"""The table as a picture: how far each row is from its bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.benchmarks.table import Result, Row, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACHED, MISSED, QUIET = "#14746f", "#c8553d", "#5b6770"

CLOSEST, FARTHEST = 0.02, 8.0
"""Where the axis ends; what lies beyond is drawn there."""


def draw(measured: Sequence[tuple[Row, Result]], path: Path) -> None:
    """One line a row that has a bar and a value: the bar in the middle, and the value at its distance from it."""
    lines = [(row, result) for row, result in measured if row.bar and result.value is not None]
    with mpl.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        # Not through pyplot, which would choose a window where there is one.
        figure = Figure(figsize=(11, 1.6 + 0.36 * len(lines)), layout="constrained")
        axes = figure.subplots()
        _furnish(axes, lines)
        for height, (row, result) in enumerate(lines):
            _line(axes, height, row, result)
        figure.savefig(path, dpi=150, facecolor="white")


def _furnish(axes: Axes, lines: Sequence[tuple[Row, Result]]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(CLOSEST, FARTHEST)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_yticks(range(len(lines)), [f"{row.what}\n{row.work}" for row, _ in lines], fontsize=7.5)
    axes.set_xticks([0.1, 0.5, 1, 2, 5], ["a tenth\nof it", "half", "the bar", "twice", "five\ntimes"])
    axes.minorticks_off()
    axes.tick_params(length=0)
    axes.axvspan(CLOSEST, 1, color=REACHED, alpha=0.06, lw=0)
    axes.axvline(1, color=QUIET, lw=1.2)
    axes.spines[:].set_visible(False)
    axes.set_title("Penstock against its bars: left of the line is better", loc="left", weight="bold", pad=12)


def _line(axes: Axes, height: int, row: Row, result: Result) -> None:
    if row.bar is None or result.value is None:
        return
    distance = min(max(row.bar.distance(result.value), CLOSEST * 1.15), FARTHEST / 1.15)
    is_reached = row.bar.is_reached_by(result.value)
    color = REACHED if is_reached else MISSED
    axes.plot([1, distance], [height, height], color=color, lw=2.4, alpha=0.45, solid_capstyle="round")
    axes.plot(distance, height, "o", color=color, markersize=7)
    axes.annotate(
        f"{shown(result.value)} {row.bar.unit}  ({row.bar})",
        (max(distance, 1.0), height),
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        color=color if not is_reached else QUIET,
        fontsize=8,
    )
