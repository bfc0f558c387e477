"""A dataset and a plugin that write down what is done to them, from whatever process, and functions for nodes."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset


def write(folder, *words):
    with (folder / "log").open("a", encoding="utf-8") as file:
        file.write(" ".join(map(str, (os.getpid(), *words))) + "\n")


class Recorded(AbstractDataset):
    """Data in a file, and a line in the log for every release."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name

    @property
    def file(self):
        # Both spellings of a transcoded dataset are one file.
        return self.folder / self.name.partition("@")[0]

    def load(self):
        return pickle.loads(self.file.read_bytes())

    def save(self, data):
        self.file.write_bytes(pickle.dumps(data))

    def _exists(self):
        return self.file.exists()

    def _release(self):
        write(self.folder, "release", self.name)

    def _describe(self):
        return {"name": self.name}


class Recorder:
    """Writes every hook of a node or dataset down, with all of its arguments that have a text of their own."""

    def __init__(self, folder: Path):
        self.folder = folder

    @hook_impl
    def before_node_run(self, node, inputs, is_async, run_id):
        write(self.folder, "before", node.name, sorted(inputs.items(), key=repr), is_async, run_id)

    @hook_impl
    def after_node_run(self, node, inputs, outputs, run_id):
        write(self.folder, "after", node.name, sorted(inputs), sorted(outputs), run_id)

    @hook_impl
    def on_node_error(self, error, node, inputs, run_id):
        write(self.folder, "error", node.name, type(error).__name__, error, sorted(inputs), run_id)

    @hook_impl
    def before_dataset_loaded(self, dataset_name, node):
        write(self.folder, "load", dataset_name, node.name)

    @hook_impl
    def after_dataset_loaded(self, dataset_name, data, node):
        write(self.folder, "loaded", dataset_name, data, node.name)

    @hook_impl
    def before_dataset_saved(self, dataset_name, data, node):
        write(self.folder, "save", dataset_name, data, node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name, data, node):
        write(self.folder, "saved", dataset_name, data, node.name)


class BoomError(Exception):
    """An error with two arguments and a text of its own."""

    def __init__(self, name, count):
        super().__init__(name, count)

    def __str__(self):
        return f"{self.args[0]} got {self.args[1]} inputs"


def plain(name, outputs):
    def function(*inputs):
        return tuple([name, number, *inputs] for number in range(outputs))

    return function


def stream(name, outputs):
    def function(*inputs):
        for chunk in range(2):
            yield tuple([name, number, chunk, *inputs] for number in range(outputs))

    return function


def raising(name, outputs):
    def function(*inputs):
        raise BoomError(name, len(inputs))

    return function


def nothing(name, outputs):
    def function(*inputs):
        return (None,) * outputs

    return function
