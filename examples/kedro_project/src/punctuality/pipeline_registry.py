"""The project's pipelines, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro.framework.project import find_pipelines

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def register_pipelines() -> dict[str, Pipeline]:
    """One for each folder of `pipelines`, and all of them together."""
    pipelines = find_pipelines()
    pipelines["__default__"] = sum(pipelines.values())
    return pipelines
