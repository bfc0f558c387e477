"""A pipeline with what projects have: parameters, namespaces, tags, a lambda, data in memory, in files and in versions."""

from __future__ import annotations

from door.gauges import Gauge
from kedro.pipeline import Pipeline, node, pipeline


def calibrate(parameters: dict, offset: int) -> Gauge:
    return Gauge(parameters["scale"], offset)


def measure(gauge: Gauge, rain: list[int]) -> list[int]:
    # Imported late, as projects do: by name, and with no module of the project's at hand.
    from door.gauges import Gauge as Same  # noqa: PLC0415

    assert isinstance(gauge, Same)
    return [gauge.read(each) for each in rain]


def stop(total: int, parameters: dict) -> int:
    if total > parameters.get("most", total):
        raise ValueError(f"the drain is blocked at {total}")
    return total


def create_pipeline(**kwargs) -> Pipeline:
    site = [
        node(measure, ["gauge", "rain"], "measured", name="measure", tags="gauge"),
        node(lambda measured: sum(measured) + 0, "measured", "total", name="total", tags="sum"),
        node(lambda total: {"total": total}, "total", "report", name="report"),
    ]
    shared = {"gauge", "rain"}
    return pipeline(
        [
            node(calibrate, ["parameters", "params:site.offset"], "gauge", name="calibrate", tags="gauge"),
            pipeline(site, namespace="north", inputs=shared),
            pipeline(site, namespace="south", inputs=shared),
            node(lambda north, south: north + south, ["north.total", "south.total"], "both", name="add"),
            node(stop, ["both", "parameters"], "checked", name="stop"),
            node(lambda checked: {"checked": checked}, "checked", "end", name="end"),
        ]
    )
