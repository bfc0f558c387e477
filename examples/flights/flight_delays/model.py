"""How late will this flight arrive? One small model for each carrier, and the two guesses that it has to beat.

All three answer in minutes of delay on arrival, early being negative. The model aims at the median delay, since most
flights are a little early and a few are hours late: their mean describes neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

MEASURES = [
    "distance",
    "latitude",
    "longitude",
    "plane_age",
    "seats",
    "planned_departures",
    "airport_delay",
    "airport_overdue",
    "temp",
    "dewp",
    "wind_speed",
    "wind_gust",
    "precip",
    "visib",
    "pressure",
]
HOURS = range(5, 24)
WEEKDAYS = range(7)
AIRPORTS = ["EWR", "JFK", "LGA"]
NOON, FREEZING, FOG = 12.0, 32.0, 3.0

PREDICTORS = ["carrier_mean", "hour_median", "model"]
"""What is compared: the carrier's mean, the carrier's median at that hour of the day, and the fitted model."""

LATE = 15.0
"""Minutes on arrival from which the Bureau of Transportation Statistics counts a flight as late."""


@dataclass(frozen=True)
class Baselines:
    """Two guesses that need no model, in minutes: the carrier's mean, and its median at each hour of the day."""

    mean: float
    median: float
    median_by_hour: dict[int, float]


@dataclass(frozen=True)
class DelayModel:
    """A line through the features of one carrier's flights.

    `fill`, `center` and `scale` have one number a feature: what stands in for a missing value, what is taken off, and
    what is divided by. `weights` are minutes: the first is the delay of the average flight, each of the others what
    one standard deviation of a feature adds to it.
    """

    destinations: tuple[str, ...]
    fill: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    weights: np.ndarray


def split_months(flights: pd.DataFrame, held_out_months: list[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The flights to learn from, and those of the held-out months. Only flights that arrived where they should."""
    arrived = flights.dropna(subset=["arrival_delay"])
    held_out = arrived["month"].isin(held_out_months)
    return arrived[~held_out].reset_index(drop=True), arrived[held_out].reset_index(drop=True)


def fit_baselines(train: pd.DataFrame) -> Baselines:
    """What one would guess from the carrier alone, and from the carrier and the hour."""
    by_hour = train.groupby("hour")["arrival_delay"].median()
    delay = train["arrival_delay"]
    return Baselines(
        mean=float(delay.mean()),
        median=float(delay.median()),
        median_by_hour=by_hour.to_dict(),
    )


def fit_model(train: pd.DataFrame, penalty: float) -> DelayModel:
    """The line that makes the sum of the absolute errors small, kept flat by a ridge.

    Args:
        train: Flights of one carrier, as `split_months` returns them.
        penalty: The ridge, in flights: it pulls each weight to 0 as so many average flights would.
    """
    destinations = tuple(sorted(train["dest"].unique()))
    matrix = features(train, destinations)
    fill = _medians(matrix)
    filled = np.where(np.isnan(matrix), fill, matrix)
    spread = filled.std(axis=0)
    # A feature that never varies says nothing: divided by 1 it stays 0 everywhere.
    scale = np.where(spread > 0, spread, 1.0)
    center = filled.mean(axis=0)
    weights = least_absolute((filled - center) / scale, train["arrival_delay"].to_numpy(dtype=float), penalty)
    return DelayModel(destinations, fill, center, scale, weights)


def predict(held_out: pd.DataFrame, baselines: Baselines, model: DelayModel) -> pd.DataFrame:
    """The held-out flights with what each predictor says, in minutes, next to the true `arrival_delay`."""
    columns = [
        "scheduled",
        "month",
        "hour",
        "carrier",
        "airline",
        "flight",
        "origin",
        "dest",
        "arrival_delay",
    ]
    matrix = features(held_out, model.destinations)
    standard = (np.where(np.isnan(matrix), model.fill, matrix) - model.center) / model.scale
    return held_out[columns].assign(
        carrier_mean=baselines.mean,
        hour_median=held_out["hour"].map(baselines.median_by_hour).astype(float).fillna(baselines.median),
        model=model.weights[0] + standard @ model.weights[1:],
    )


def features(flights: pd.DataFrame, destinations: tuple[str, ...]) -> np.ndarray:
    """One row a flight, one column a feature; only what is known before the departure. Missing values stay missing.

    A destination that is not among `destinations` is none of them.
    """
    hour, queue, temperature, rain, sight = (
        flights[name].to_numpy(dtype=float) for name in ("hour", "airport_delay", "temp", "precip", "visib")
    )
    bent = [
        # A queue in the morning dissolves, one in the evening meets the day's last flights.
        queue * (hour - NOON),
        # Ice, rain at all, fog: here the line would have to bend.
        np.maximum(FREEZING - temperature, 0.0),
        rain > 0,
        sight < FOG,
    ]
    kinds = [("hour", HOURS), ("weekday", WEEKDAYS), ("origin", AIRPORTS), ("dest", destinations)]
    flags = [flights[name].to_numpy() == value for name, values in kinds for value in values]
    measures = [flights[name].to_numpy(dtype=float) for name in MEASURES]
    return np.column_stack([*measures, *bent, *flags]).astype(float)


def _medians(matrix: np.ndarray) -> np.ndarray:
    """The median of each column, 0 for a column without any value."""
    empty = np.isnan(matrix).all(axis=0)
    return np.nanmedian(np.where(empty, 0.0, matrix), axis=0)


def least_absolute(standard: np.ndarray, delay: np.ndarray, penalty: float, *, steps: int = 60) -> np.ndarray:
    """Weights of least absolute deviations, intercept first.

    After 10 steps the intercept of some carriers is still off by almost a minute, after 60 by less than a second.

    By iteratively reweighted least squares: E. J. Schlossmacher, An iterative technique for absolute deviations curve
    fitting, Journal of the American Statistical Association 68 (1973) 857-859. The planned delays are whole minutes,
    so an error below one minute counts as one: no flight gets a weight without bound.
    """
    design = np.hstack([np.ones((len(standard), 1)), standard])
    ridge = penalty * np.eye(design.shape[1])
    ridge[0, 0] = 0.0
    importance = np.ones(len(delay))
    for _ in range(steps):
        weighted = design * importance[:, None]
        weights = np.linalg.solve(design.T @ weighted + ridge * importance.mean(), weighted.T @ delay)
        importance = 1.0 / np.maximum(np.abs(delay - design @ weights), 1.0)
    return weights
