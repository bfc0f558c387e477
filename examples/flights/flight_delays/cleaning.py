"""The five tables made fit for use, and joined into one row a flight.

Every rule answers something that is wrong, missing or ambiguous in the published tables; the number of rows that a
rule meets stands next to it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "UA", "US", "VX", "WN", "YV"]
"""All but SkyWest (OO): its 32 flights in the year are too few to learn from."""

STRONGEST_WIND = 200.0
"""Miles an hour. What is stronger is a fault of the instrument: one row says 1,048."""

SMALLEST_AIRLINER = 20
"""Seats. What is smaller is another aircraft whose tail number happens to read like an airline's fleet number."""

WEATHER = ["temp", "dewp", "wind_speed", "wind_gust", "precip", "visib", "pressure"]


def clean_flights(flights: pd.DataFrame) -> pd.DataFrame:
    """One row for every flight that was planned, ordered by time, with instants in place of clock readings.

    Clock readings are ambiguous: 2400 and 0 are the same midnight (179 rows), a departure at 0015 belongs to the day
    after its date, and an hour is missing in March and doubled in November. So the planned instant is built from the
    UTC hour that the table carries, and the true departure from the planned one plus the delay.

    Returns:
        Columns `scheduled` and `departed` (UTC; `departed` is missing for the 8,255 cancelled flights),
        `departure_delay` and `arrival_delay` (minutes, early is negative; `arrival_delay` is missing for cancelled
        flights and for the 1,175 that landed elsewhere), `month`, `weekday` (Monday is 0) and `hour` (all three in
        New York's time, as planned), `distance` (miles), `carrier`, `flight`, `tailnum`, `origin`, `dest`.
    """
    key = ["carrier", "flight", "origin", "dest", "year", "month", "day", "sched_dep_time"]
    planned = flights.drop_duplicates(key)
    scheduled = utc(planned["time_hour"]) + pd.to_timedelta(planned["minute"], unit="min")
    # As whole numbers: pandas 2.2.0 rounds what lies in memory in place of a missing fraction, and may warn.
    departed = scheduled + pd.to_timedelta(planned["dep_delay"].astype("Int64"), unit="min")
    dates = pd.to_datetime(planned[["year", "month", "day"]])
    clean = planned[["carrier", "flight", "tailnum", "origin", "dest", "month", "hour", "distance"]].assign(
        scheduled=scheduled.dt.as_unit("ns"),
        departed=departed.dt.as_unit("ns"),
        weekday=dates.dt.day_of_week,
        departure_delay=planned["dep_delay"],
        arrival_delay=planned["arr_delay"],
    )
    # Sorted by a key that no two flights share, so that every runner sees the rows in one order.
    return clean.sort_values(["scheduled", "origin", "carrier", "flight", "dest"], ignore_index=True)


def clean_weather(weather: pd.DataFrame) -> pd.DataFrame:
    """Hourly observations at the three airports, with `known_from`, the instant (UTC) from which each can be known.

    The row of an hour was observed within that hour, so it counts as known when the hour is over. A wind that no
    instrument survives is missing; no gust (four rows of five) means that gusts were no stronger than the wind.

    Returns:
        `origin`, `known_from`, `temp` and `dewp` (Fahrenheit), `wind_speed` and `wind_gust` (miles an hour),
        `precip` (inches), `visib` (miles, 10 is the most the instrument reports), `pressure` (millibars).
    """
    wind = weather["wind_speed"].where(weather["wind_speed"] < STRONGEST_WIND)
    clean = weather[["origin", *WEATHER]].assign(
        known_from=(utc(weather["time_hour"]) + pd.Timedelta(hours=1)).dt.as_unit("ns"),
        wind_speed=wind,
        wind_gust=weather["wind_gust"].where(weather["wind_gust"] < STRONGEST_WIND).fillna(wind),
    )
    clean = clean.drop_duplicates(["origin", "known_from"])
    return clean.sort_values(["known_from", "origin"], ignore_index=True)


def clean_planes(planes: pd.DataFrame) -> pd.DataFrame:
    """Airliners only: `tailnum`, `built` (year, missing for 70), `seats`.

    American and Envoy report fleet numbers in place of tail numbers. Some of those are also the tail number of a
    two-seater, which did not fly them to Miami.
    """
    airliners = planes[(planes["seats"] >= SMALLEST_AIRLINER) & (planes["type"] != "Rotorcraft")]
    clean = airliners[["tailnum", "year", "seats"]].rename(columns={"year": "built"})
    return clean.drop_duplicates("tailnum").sort_values("tailnum", ignore_index=True)


def measure_queue(flights: pd.DataFrame, lead_hours: float, window_hours: float) -> pd.DataFrame:
    """How far behind each airport was, `lead_hours` before each planned departure. Nothing later is looked at.

    Args:
        flights: As `clean_flights` returns them, all carriers.
        lead_hours: How long before the planned departure the question is asked.
        window_hours: How far back from there the answer looks.

    Returns:
        One row for each `origin` and `scheduled`: `airport_delay`, the mean delay (minutes) of the flights that left
        within the window, and `airport_overdue`, the share of the flights planned within the window that had not
        left by then. Both are 0 where nothing was planned: an empty airport has no queue.
    """
    lead, window = pd.Timedelta(hours=lead_hours), pd.Timedelta(hours=window_hours)
    airports = [
        _queue_at(airport, lead, window).assign(origin=origin)
        for origin, airport in flights.groupby("origin")
    ]
    return pd.concat(airports, ignore_index=True)


def _queue_at(flights: pd.DataFrame, lead: pd.Timedelta, window: pd.Timedelta) -> pd.DataFrame:
    scheduled = flights["scheduled"].drop_duplicates().sort_values(ignore_index=True)
    now = scheduled - lead
    gone = flights.dropna(subset=["departed"]).sort_values(["departed", "departure_delay"])
    left = _count(gone["departed"], now) - _count(gone["departed"], now - window)
    minutes = np.concatenate([[0.0], np.cumsum(gone["departure_delay"].to_numpy(dtype=float))])
    delay = minutes[_count(gone["departed"], now)] - minutes[_count(gone["departed"], now - window)]
    # A flight is overdue from its planned departure until it leaves or drops out of the window. So those overdue now
    # are those that began to be, less those that ceased to be: two counts, and no look at any pair of flights.
    ceased = flights["departed"].fillna(flights["scheduled"].max() + window)
    ceased = ceased.where(ceased < flights["scheduled"] + window, flights["scheduled"] + window)
    late = ceased > flights["scheduled"]
    overdue = _count(flights.loc[late, "scheduled"], now) - _count(ceased[late], now)
    planned = _count(flights["scheduled"], now) - _count(flights["scheduled"], now - window)
    return pd.DataFrame(
        {
            "scheduled": scheduled,
            "airport_delay": delay / np.maximum(left, 1),
            "airport_overdue": overdue / np.maximum(planned, 1),
        }
    )


def _count(instants: pd.Series, until: pd.Series) -> np.ndarray:
    """How many instants lie at or before each of `until`."""
    ordered = np.sort(instants.to_numpy(dtype="datetime64[ns]"))
    return np.searchsorted(ordered, until.to_numpy(dtype="datetime64[ns]"), side="right")


def join_flights(
    flights: pd.DataFrame,
    queue: pd.DataFrame,
    planes: pd.DataFrame,
    airlines: pd.DataFrame,
    airports: pd.DataFrame,
) -> pd.DataFrame:
    """The flights, in their order, with their airline, destination, aircraft, and the queue at their airport.

    `plane_age` (years) and `seats` are missing where the tail number is no airliner's; `destination`, `latitude` and
    `longitude` (degrees) for the four airports in the Caribbean that the table of airports leaves out.
    `planned_departures` counts the flights planned from the same airport in the same hour, cancelled ones included,
    since the plan did not know.

    That the aircraft is known hours ahead is an assumption: airlines do swap them late.
    """
    names = airlines.rename(columns={"name": "airline"})
    places = airports.rename(
        columns={"faa": "dest", "name": "destination", "lat": "latitude", "lon": "longitude"}
    )
    places = places[["dest", "destination", "latitude", "longitude"]].drop_duplicates("dest")
    joined = (
        flights.merge(names, on="carrier", how="left", validate="many_to_one")
        .merge(places, on="dest", how="left", validate="many_to_one")
        .merge(planes, on="tailnum", how="left", validate="many_to_one")
        .merge(queue, on=["origin", "scheduled"], how="left", validate="many_to_one")
    )
    hour = joined["scheduled"].dt.floor("h")
    return joined.drop(columns="built").assign(
        plane_age=joined["scheduled"].dt.year - joined["built"],
        planned_departures=joined.groupby(["origin", hour])["flight"].transform("size"),
    )


def add_weather(flights: pd.DataFrame, weather: pd.DataFrame, lead_hours: float) -> pd.DataFrame:
    """The flights, ordered by time, with the newest weather known `lead_hours` before the planned departure.

    An observation more than six hours old says nothing any more: then the weather is missing.
    """
    joined = pd.merge_asof(
        flights.assign(asked=flights["scheduled"] - pd.Timedelta(hours=lead_hours)),
        weather,
        left_on="asked",
        right_on="known_from",
        by="origin",
        tolerance=pd.Timedelta(hours=6),
    )
    return joined.drop(columns=["asked", "known_from"])


def split_carriers(flights: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each carrier's flights. Sent to the branches one by one, so that no branch reads the whole table."""
    return {carrier: flights[flights["carrier"] == carrier].reset_index(drop=True) for carrier in CARRIERS}


def utc(text: pd.Series) -> pd.Series:
    """Instants from ISO 8601 text, in nanoseconds on every pandas: tables join only where the unit is the same."""
    return pd.to_datetime(text, utc=True).dt.as_unit("ns")
