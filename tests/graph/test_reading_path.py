"""How many files a reader opens who follows one run, from `penstock.run` to Dask's scheduler and back."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import penstock
from penstock.io import DataCatalog, PickleDataset
from penstock.pipeline import node, pipeline
from penstock.runner import DaskRunner, SequentialRunner
from penstock.testing import add_one

PACKAGE = Path(penstock.__file__).parent

FOLDERS = {"runner", "graph", "runs"}

MAX_FILES = 10

MAX_FILES_ON_CLUSTER = 20


def files_entered(function):
    """The files of the three folders of whose functions at least one is called."""
    entered = set()

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            entered.add(path.relative_to(PACKAGE))

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return sorted(str(path) for path in entered if path.parts[0] in FOLDERS)


def test_a_sequential_run_leads_through_ten_files(tmp_path):
    """A newcomer can read them in an hour. The first edition led through 20."""
    names = "abcd"
    nodes = [node(add_one, x, y, name=x) for x, y in itertools.pairwise(names)]
    catalog = DataCatalog({"a": 1, "d": PickleDataset(tmp_path / "d.pickle")})
    runner = SequentialRunner()

    files = files_entered(lambda: penstock.run(pipeline(nodes), catalog, runner))

    assert len(files) <= MAX_FILES, files
    assert "graph/compile.py" in files


def test_a_run_on_a_cluster_leads_through_twenty_files(client):
    """The first edition led through 42. A stored dataset adds one, graph/subcatalog.py."""
    nodes = [node(add_one, x, y, name=x) for x, y in itertools.pairwise("abcd")]
    catalog = DataCatalog({"a": 1})

    files = files_entered(lambda: penstock.run(pipeline(nodes), catalog, DaskRunner(client)))

    assert len(files) <= MAX_FILES_ON_CLUSTER, files
    assert "runner/cluster/execution/submit.py" in files
