"""A pipeline as text: for people, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock._typing import PipelineLike


KEDRO_FORMAT = "1.7.0"
"""The release of Kedro whose `Pipeline.to_json` has this format."""


def description(pipeline: PipelineLike, *, names_only: bool) -> str:
    """Free inputs, nodes in the order in which they run, and outputs."""
    heading = "#### Pipeline execution order ####"
    nodes = [node.name if names_only else str(node) for node in pipeline.nodes]
    inputs, outputs = f"Inputs: {_listed(pipeline.inputs())}", f"Outputs: {_listed(pipeline.outputs())}"
    return "\n".join([heading, inputs, "", "\n".join(nodes), "", outputs, "#" * len(heading)])


def as_json(pipeline: PipelineLike) -> str:
    """The nodes in the order in which they run, under the keys that Kedro's tools read."""
    nodes = [
        {"name": node.name, "inputs": node.inputs, "outputs": node.outputs, "tags": sorted(node.tags)}
        for node in pipeline.nodes
    ]
    versions = {"kedro_version": KEDRO_FORMAT, "penstock_version": version("penstock")}
    return json.dumps({**versions, "pipeline": nodes})


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "None"
