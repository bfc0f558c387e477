"""The one picture: does it help to look at the weather and the queue two hours ahead?"""

from __future__ import annotations

import calendar
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .model import LATE
from .scores import late_by_tenth

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which people who do not tell red from green can tell apart.
COLORS = {"carrier_mean": "#767676", "hour_median": "#D55E00", "model": "#0072B2"}
MARKERS = {"carrier_mean": "o", "hour_median": "s", "model": "D"}
LABELS = {"carrier_mean": "carrier", "hour_median": "carrier and hour", "model": "model"}
INK, FAINT, BAND = "#222222", "#dddddd", "#cfe6f5"


def draw(predictions: pd.DataFrame, report: dict[str, Any]) -> Figure:
    """Error by carrier on the left; on the right who is late by predicted delay, and delay by hour of the day.

    The figure belongs to no window: it can be drawn in any thread and sent to another process.
    """
    figure = Figure(figsize=(12, 7.5), facecolor="white")
    grid = figure.add_gridspec(
        2,
        2,
        width_ratios=(1, 1.05),
        left=0.165,
        right=0.985,
        bottom=0.075,
        top=0.83,
        wspace=0.16,
        hspace=0.42,
    )
    _draw_carriers(figure.add_subplot(grid[:, 0]), report["carriers"])
    _draw_tenths(figure.add_subplot(grid[0, 1]), predictions, report["all"]["late"])
    _draw_hours(figure.add_subplot(grid[1, 1]), predictions)
    title, explanation = _words(report)
    figure.text(0.012, 0.945, title, fontsize=18, fontweight="bold", color=INK)
    figure.text(0.012, 0.931, explanation, fontsize=11, color=INK, va="top", linespacing=1.4)
    return figure


def _words(report: dict[str, Any]) -> tuple[str, str]:
    overall = report["all"]
    found, late = overall["model"]["late_in_worst_tenth"], overall["late"]
    months = ", ".join(calendar.month_name[month] for month in report["held_out_months"])
    title = f"{found:.0%} of the flights that the model fears most arrive late; of all flights {late:.0%} do"
    explanation = (
        f"{overall['flights']:,} flights out of New York in {months} 2013, predicted {report['lead_hours']:g} hours"
        " before departure by models that never saw those months.\n"
        f"Feared most: the tenth with the longest predicted delays. Late: {LATE:g} minutes or more on arrival."
    )
    return title, explanation


def _draw_carriers(axes: Axes, carriers: list[dict[str, Any]]) -> None:
    ordered = sorted(carriers, key=lambda scores: scores["model"]["mae"], reverse=True)
    rows = np.arange(len(ordered))
    errors = np.array([[scores[predictor]["mae"] for predictor in COLORS] for scores in ordered])
    axes.hlines(rows, errors.min(axis=1), errors.max(axis=1), color=FAINT, linewidth=3, zorder=1)
    for column, (predictor, color) in enumerate(COLORS.items()):
        marker, label = MARKERS[predictor], LABELS[predictor]
        axes.scatter(errors[:, column], rows, s=52, color=color, marker=marker, label=label, zorder=3)
    axes.set_yticks(rows, [f"{_short(scores['airline'])}  ({scores['flights']:,})" for scores in ordered])
    axes.set_xlabel("mean absolute error (minutes)")
    axes.legend(frameon=False, loc="lower left", title="predicted from", alignment="left")
    _finish(axes, "How far off are the predictions? By carrier (flights)", grid="x")


def _short(airline: str) -> str:
    """The airline's name without the words that every company has."""
    for word in ("Inc.", "Co.", "Corporation", "Airlines"):
        airline = airline.removesuffix(word).strip()
    return airline


def _draw_tenths(axes: Axes, predictions: pd.DataFrame, late: float) -> None:
    delay = predictions["arrival_delay"].to_numpy(dtype=float)
    tenths = np.arange(1, 11)
    for predictor, color in COLORS.items():
        shares = late_by_tenth(delay, predictions[predictor].to_numpy(dtype=float))
        axes.plot(tenths, shares, color=color, marker=MARKERS[predictor], markersize=5)
        label = f"{shares[-1]:.0%} {LABELS[predictor]}"
        _write(axes, label, (10, shares[-1]), (9, -4), color=color, fontweight="bold")
    axes.axhline(late, xmax=0.62, color=INK, linewidth=0.8, linestyle=":")
    _write(axes, f"{late:.0%} of all flights", (1, late), (0, 4))
    axes.set_xlim(0.7, 15.6)
    axes.set_xticks(tenths)
    axes.set_xlabel("flights in tenths, shortest to longest predicted delay", loc="left")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(bottom=0)
    _finish(axes, "Which flights are late? Share of late flights")


def _draw_hours(axes: Axes, predictions: pd.DataFrame) -> None:
    by_hour = predictions.groupby("hour")["arrival_delay"]
    low, median, high = (by_hour.quantile(share) for share in (0.25, 0.5, 0.75))
    axes.fill_between(median.index, low, high, color=BAND, linewidth=0)
    axes.plot(median.index, median, color=INK, linewidth=1.8)
    axes.axhline(LATE, color=INK, linewidth=0.8, linestyle=":")
    first, last = median.index[0], median.index[-1]
    _write(axes, f"late from {LATE:g} minutes", (first, LATE), (0, 4))
    _write(axes, "median", (last, median.iloc[-1]), (6, -4), fontweight="bold")
    _write(axes, "middle half\nof the flights", (last, (high.iloc[-1] + median.iloc[-1]) / 2), (6, -8))
    axes.set_xlim(first - 0.3, last + 4.4)
    axes.set_xticks(range(6, 24, 3), [f"{hour}:00" for hour in range(6, 24, 3)])
    axes.set_xlabel("planned hour of departure", loc="left")
    _finish(axes, "At what time? Delay on arrival (minutes)")


def _write(axes: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **style: Any) -> None:
    """Text next to a point of the data, moved by so many points of print."""
    axes.annotate(
        text, at, xytext=shift, textcoords="offset points", **{"color": INK, "fontsize": 10, **style}
    )


def _finish(axes: Axes, title: str, grid: Literal["x", "y"] = "y") -> None:
    axes.set_title(title, loc="left", fontsize=12, color=INK)
    axes.grid(axis=grid, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
