"""The functions: pandas, and nothing of Kedro or Penstock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def keep(flights: pd.DataFrame, late_minutes: float) -> pd.DataFrame:
    """The flights that arrived where they should, each with whether it was late; 9,430 of 336,776 did not."""
    flown = flights.dropna(subset=["arr_delay"])
    return flown.assign(late=flown["arr_delay"] >= late_minutes).reset_index(drop=True)


def select(departures: pd.DataFrame, airport: str) -> pd.DataFrame:
    """The flights from one airport."""
    return departures[departures["origin"] == airport].assign(airport=airport)


def measure_hours(flown: pd.DataFrame, fewest_flights: int) -> pd.DataFrame:
    """For each hour of the day with enough flights: how many, their median delay (minutes), the share of late ones."""
    by_hour = flown.groupby(["airport", "hour"], as_index=False).agg(
        flights=("late", "size"), median_delay=("arr_delay", "median"), late=("late", "mean")
    )
    return by_hour[by_hour["flights"] >= fewest_flights]


def split_carriers(departures: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """One table for each carrier, each of which becomes a file."""
    return {str(carrier): flights for carrier, flights in departures.groupby("carrier")}


def rank(carriers: dict[str, Callable[[], pd.DataFrame]], *by_hour: pd.DataFrame) -> dict[str, Any]:
    """The hour with the smallest share of late flights at each airport, and the carriers, the most punctual first.

    Args:
        carriers: For each carrier what loads its table, so that one is in memory at a time.
        by_hour: What `measure_hours` gives, for each airport.
    """
    best = {table["airport"].iloc[0]: table.loc[table["late"].idxmin()] for table in by_hour}
    late = {carrier: float(load()["late"].mean()) for carrier, load in carriers.items()}
    return {
        "best_hour": {
            airport: {"hour": int(row["hour"]), "late": round(float(row["late"]), 4)}
            for airport, row in best.items()
        },
        "late_by_carrier": {
            carrier: round(late[carrier], 4) for carrier in sorted(late, key=lambda each: late[each])
        },
    }
