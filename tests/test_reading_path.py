"""A run can be followed: how many files of the package one opens from `penstock.run` to Dask's `get` and back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import penstock
from penstock.pipeline import node, pipeline
from penstock.testing import add_one

SOURCE = Path(penstock.__file__).parent
ROOMS = {"runner", "graph", "runs"}


@pytest.fixture
def files_of_a_run(tmp_path):
    """Runs three nodes, the last of which saves, and gives the files of the three rooms that this thread enters."""

    def run(runner):
        nodes = [
            node(add_one, "x", "a", name="first"),
            node(add_one, "a", "b", name="second"),
            node(str, "b", "text", name="third"),
        ]
        catalog = {"x": 1, "text": penstock.TextDataset(tmp_path / "text.txt")}
        entered = set()

        def note(frame, event, _):
            path = Path(frame.f_code.co_filename)
            if event == "call" and path.is_relative_to(SOURCE) and frame.f_code.co_name != "<module>":
                entered.add(path.relative_to(SOURCE))

        sys.setprofile(note)
        try:
            penstock.run(pipeline(nodes), catalog, runner)
        finally:
            sys.setprofile(None)
        return sorted(path.as_posix() for path in entered if path.parts[0] in ROOMS)

    return run


def test_a_sequential_run_is_followed_through_ten_files(files_of_a_run):
    """A newcomer can read them in an hour. The first edition led through 20."""
    files = files_of_a_run(penstock.SequentialRunner())

    assert "runner/sequential.py" in files
    assert len(files) <= 10, files


def test_a_run_on_a_cluster_is_followed_through_twenty_files(files_of_a_run, client):
    """The first edition led through 42."""
    files = files_of_a_run(penstock.DaskRunner(client))

    assert "runner/cluster/execution/submit.py" in files
    assert len(files) <= 20, files
