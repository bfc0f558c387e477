from __future__ import annotations

import threading
from pathlib import Path

from kedro.framework.hooks import hook_impl

# On a worker this is where the project is, too, and not where the worker was started.
NOTES = Path(__file__).parents[2] / "notes.txt"


def note(*words: object) -> None:
    with NOTES.open("a", encoding="utf-8") as file:
        file.write(" ".join(map(str, words)) + "\n")


class Notes:
    """Notes every hook of nodes and datasets."""

    @hook_impl
    def before_node_run(self, node, catalog, inputs, is_async):
        note("before", node.name, *sorted(inputs), is_async)
        if node.name == "calibrate":
            return {"params:site.offset": inputs["params:site.offset"] + 1}
        return None

    @hook_impl
    def after_node_run(self, node, outputs):
        note("after", node.name, *sorted(outputs))

    @hook_impl
    def on_node_error(self, error, node):
        note("error", node.name, error)

    @hook_impl
    def before_dataset_loaded(self, dataset_name, node):
        note("load", dataset_name, node.name)

    @hook_impl
    def after_dataset_loaded(self, dataset_name, data, node):
        note("loaded", dataset_name, type(data).__name__, node.name)

    @hook_impl
    def before_dataset_saved(self, dataset_name, data, node):
        note("save", dataset_name, type(data).__name__, node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name, node):
        note("saved", dataset_name, node.name)


class Guard:
    """Has a lock, which cannot travel, and no hook of a node or dataset."""

    def __init__(self):
        self.lock = threading.Lock()

    @hook_impl
    def before_pipeline_run(self, pipeline):
        note("pipeline", len(pipeline.nodes))

    @hook_impl
    def after_pipeline_run(self, run_result):
        note("pipeline gave", *sorted(run_result))

    @hook_impl
    def on_pipeline_error(self, error):
        note("pipeline failed", type(error).__name__)
