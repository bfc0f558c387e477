"""What runs: clean and join, one branch for each carrier, compare.

flights  weather  planes  airlines  airports            five published tables
   |        |        |        |        |
cleaned, joined: one row a flight                       flights_joined.parquet
   |
split by carrier
   |-- 9E: split_months -> fit -> predict -> score      15 branches, all alike, which run at the same time
   |-- AA: ...
   |
gathered, compared, drawn                               predictions.parquet, scores.json, delays.png
"""

from __future__ import annotations

from penstock.pipeline import Pipeline, node, pipeline

from .cleaning import (
    CARRIERS,
    add_weather,
    clean_flights,
    clean_planes,
    clean_weather,
    join_flights,
    measure_queue,
    split_carriers,
)
from .model import fit_baselines, fit_model, predict, split_months
from .picture import draw
from .scores import compare, count_flights, gather_predictions, score_carrier


def create_pipeline() -> Pipeline:
    """The whole pipeline. Its free inputs are the five tables and the parameters of `create_catalog`."""
    return preparation() + sum((branch(carrier) for carrier in CARRIERS), start=pipeline([])) + comparison()


def preparation() -> Pipeline:
    """From the published tables to one table of flights for each carrier, `flights_UA` and so on."""
    return pipeline(
        [
            node(clean_flights, "flights", "flights_clean", name="clean_flights"),
            node(clean_weather, "weather", "weather_clean", name="clean_weather"),
            node(clean_planes, "planes", "planes_clean", name="clean_planes"),
            node(count_flights, "flights_clean", "flight_counts", name="count_flights"),
            node(
                measure_queue,
                ["flights_clean", "params:lead_hours", "params:window_hours"],
                "queue",
                name="measure_queue",
            ),
            node(
                join_flights,
                ["flights_clean", "queue", "planes_clean", "airlines", "airports"],
                "flights_described",
                name="join_flights",
            ),
            node(
                add_weather,
                ["flights_described", "weather_clean", "params:lead_hours"],
                "flights_joined",
                name="add_weather",
            ),
            node(
                split_carriers,
                "flights_joined",
                {carrier: f"flights_{carrier}" for carrier in CARRIERS},
                name="split_carriers",
            ),
        ]
    )


def branch(carrier: str) -> Pipeline:
    """The branch of one carrier: the same five nodes every time, under the carrier's own namespace."""
    return pipeline(
        [
            node(
                split_months,
                ["flights", "params:held_out_months"],
                ["train", "held_out"],
                name="split_months",
            ),
            node(fit_baselines, "train", "baselines", name="fit_baselines"),
            node(fit_model, ["train", "params:penalty"], "model", name="fit_model"),
            node(predict, ["held_out", "baselines", "model"], "predictions", name="predict"),
            node(score_carrier, "predictions", "scores", name="score_carrier"),
        ],
        namespace=carrier,
        inputs={"flights": f"flights_{carrier}"},
        outputs={"predictions": f"predictions_{carrier}", "scores": f"scores_{carrier}"},
        parameters=["held_out_months", "penalty"],
        tags="carrier",
    )


def comparison() -> Pipeline:
    """From the branches' predictions and scores to one table, one report and one picture."""
    return pipeline(
        [
            node(
                gather_predictions,
                [f"predictions_{carrier}" for carrier in CARRIERS],
                "predictions",
                name="gather_predictions",
            ),
            node(
                compare,
                [
                    "predictions",
                    "flight_counts",
                    "params:held_out_months",
                    "params:lead_hours",
                    *(f"scores_{carrier}" for carrier in CARRIERS),
                ],
                "scores",
                name="compare",
            ),
            node(draw, ["predictions", "scores"], "picture", name="draw"),
        ]
    )
