"""What runs.

flights -> departures -> EWR: select -> measure_hours -> EWR.by_hour -- rank -> ranking
                      -> JFK: the same                                  /
                      -> LGA: the same                                 /
                      -> carriers, one file each ---------------------/
"""

from __future__ import annotations

from typing import Any

from kedro.pipeline import Pipeline, node, pipeline

from .nodes import keep, measure_hours, rank, select, split_carriers

AIRPORTS = ["EWR", "JFK", "LGA"]


def create_pipeline(**_: Any) -> Pipeline:
    """The three airports are one pipeline, three times."""
    return pipeline([keep_and_split(), *map(airport, AIRPORTS), ranking()])


def keep_and_split() -> Pipeline:
    """One table of flights that flew; the same by carrier."""
    return pipeline(
        [
            node(keep, ["flights", "params:late_minutes"], "departures", name="keep"),
            node(split_carriers, "departures", "carriers", name="split_carriers", tags="carriers"),
        ]
    )


def airport(code: str) -> Pipeline:
    """The delays at one airport by the hour of the day."""
    return pipeline(
        [
            node(lambda departures: select(departures, code), "departures", "flown", name="select"),
            node(measure_hours, ["flown", "params:fewest_flights"], "by_hour", name="measure_hours"),
        ],
        namespace=code,
        inputs="departures",
        parameters="fewest_flights",
    )


def ranking() -> Pipeline:
    """The best hour of each airport, and the carriers in order."""
    return pipeline(
        [node(rank, ["carriers", *(f"{code}.by_hour" for code in AIRPORTS)], "ranking", name="rank")]
    )
