"""How good are the predictions? The numbers that a passenger and an airline would each ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .model import LATE, PREDICTORS

DIGITS = 4
"""What is written down. Far finer than what 80,000 flights can tell apart, coarser than the noise of float sums."""


def count_flights(flights: pd.DataFrame) -> dict[str, int]:
    """What became of the planned flights."""
    cancelled = flights["departed"].isna()
    diverted = ~cancelled & flights["arrival_delay"].isna()
    return {"planned": len(flights), "cancelled": int(cancelled.sum()), "diverted": int(diverted.sum())}


def score(predictions: pd.DataFrame) -> dict[str, Any]:
    """The number of flights, the share of them that was late, and the scores of each predictor.

    Returns:
        Under each name of `PREDICTORS`: `mae` and `rmse`, the mean absolute and the root mean squared error
        (minutes); `bias`, how much later than predicted flights were on average (minutes); `within_15`, the share of
        flights predicted to within 15 minutes; `late_in_worst_tenth`, the share of late flights (15 minutes and more
        on arrival) among the tenth with the longest predicted delays.
    """
    delay = predictions["arrival_delay"].to_numpy(dtype=float)
    scores: dict[str, Any] = {"flights": len(delay), "late": _rounded(np.mean(delay >= LATE))}
    return scores | {name: _score(delay, predictions[name].to_numpy(dtype=float)) for name in PREDICTORS}


def score_carrier(predictions: pd.DataFrame) -> dict[str, Any]:
    """The scores of one carrier's flights, with its code and name."""
    first = predictions.iloc[0]
    return {"carrier": str(first["carrier"]), "airline": str(first["airline"])} | score(predictions)


def _score(delay: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    error = delay - predicted
    return {
        "mae": _rounded(np.mean(np.abs(error))),
        "rmse": _rounded(np.sqrt(np.mean(error**2))),
        "bias": _rounded(np.mean(error)),
        "within_15": _rounded(np.mean(np.abs(error) <= LATE)),
        "late_in_worst_tenth": _rounded(late_by_tenth(delay, predicted)[-1]),
    }


def late_by_tenth(delay: np.ndarray, predicted: np.ndarray) -> list[float]:
    """The share of late flights in each tenth of the flights, those predicted most punctual first.

    Flights with equal predictions cannot be told apart, so each of them counts as the average of them all: a
    predictor that says the same of every flight finds no late ones.
    """
    late = pd.Series(delay >= LATE, dtype=float).groupby(predicted).transform("mean").to_numpy()
    ordered = late[np.argsort(predicted, kind="stable")]
    return [float(tenth.mean()) for tenth in np.array_split(ordered, 10)]


def gather_predictions(*parts: pd.DataFrame) -> pd.DataFrame:
    """All carriers in one table, ordered by carrier and time."""
    order = ["carrier", "scheduled", "origin", "flight", "dest"]
    return pd.concat(parts).sort_values(order, ignore_index=True)


def compare(
    predictions: pd.DataFrame,
    counts: dict[str, int],
    held_out_months: list[int],
    lead_hours: float,
    *carriers: dict[str, Any],
) -> dict[str, Any]:
    """One report: what was asked, what became of the flights, the scores over all of them and for each carrier."""
    return {
        "lead_hours": lead_hours,
        "held_out_months": held_out_months,
        "flights_in_2013": counts,
        "all": score(predictions),
        "carriers": sorted(carriers, key=lambda scores: scores["carrier"]),
    }


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
