"""Random pipelines, run by Kedro's own `SequentialRunner` and by each of our runners: what is the same, to the last call."""

from __future__ import annotations

import itertools
import logging
import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path

import kedro.runner
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline

import penstock.kedro
from penstock.hooks import create_hook_manager
from tests.kedro import recording
from tests.soak import TIMES

KINDS = ["memory", "memory", "declared", "stored", "stored", "transcoded"]


@dataclass
class Case:
    """A pipeline, and where its datasets live."""

    nodes: list
    kinds: dict[str, str]

    def catalog(self, folder):
        datasets = {"params:p": MemoryDataset(["p"]), "free": MemoryDataset(["free"])}
        for name, kind in self.kinds.items():
            if kind == "declared":
                datasets[name] = MemoryDataset()
            elif kind == "stored":
                datasets[name] = recording.Recorded(folder, name)
            elif kind == "transcoded":
                datasets |= {f"{name}@{form}": recording.Recorded(folder, f"{name}@{form}") for form in "wr"}
        recording.Recorded(folder, "file").save(["file"])
        return DataCatalog({**datasets, "file": recording.Recorded(folder, "file")})


@st.composite
def cases(draw):
    """Pipelines of up to five nodes; at most one of them fails, so that there is one error to compare."""
    known = ["free", "file", "params:p"]
    kinds: dict[str, str] = {}
    nodes = []
    broken = draw(st.sampled_from([None, None, recording.raising, recording.nothing]))
    count = draw(st.integers(1, 5))
    broken_at = draw(st.integers(0, count - 1)) if broken else None
    for number in range(count):
        inputs = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
        outputs = [f"d{number}{letter}" for letter in "ab"[: draw(st.integers(1, 2))]]
        kinds |= {name: draw(st.sampled_from(KINDS)) for name in outputs}
        make = broken if number == broken_at else draw(st.sampled_from([recording.plain, recording.stream]))
        spelled = [f"{name}@r" if kinds.get(name) == "transcoded" else name for name in inputs]
        written = [f"{name}@w" if kinds[name] == "transcoded" else name for name in outputs]
        function = make(f"n{number}", len(outputs))
        nodes.append(node(function, spelled, written, name=f"n{number}"))
        known += outputs
    return Case(nodes, kinds)


@dataclass
class Outcome:
    """What could be seen of one run."""

    values: dict
    error: tuple
    calls: list[str]
    releases: list[str]

    @property
    def nodes(self):
        return sorted({call.split()[1] for call in self.calls if call.startswith("before ")})


def outcome(case, runner, folder, **options):
    """A run in a folder, and what was noted there meanwhile."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    catalog = case.catalog(folder)
    values, error = {}, ()
    manager = create_hook_manager([recording.Recorder(folder)])
    try:
        result = runner.run(pipeline(case.nodes), catalog, manager, run_id="run", **options)
        values = {name: dataset.load() for name, dataset in result.items()}
    except Exception as raised:  # noqa: BLE001 - to compare it
        # Of our errors, the class that Kedro's callers catch.
        caught = next(cls for cls in type(raised).__mro__ if not cls.__module__.startswith("penstock"))
        error = (caught, str(raised) if isinstance(raised, recording.BoomError) else "")
    lines = [line.partition(" ")[2] for line in log.read_text().splitlines()] if log.exists() else []
    calls = sorted(line for line in lines if not line.startswith("release "))
    return Outcome(values, error, calls, sorted(line for line in lines if line.startswith("release ")))


@pytest.fixture(
    scope="module",
    params=[
        "SequentialRunner",
        "ThreadRunner",
        "ParallelRunner",
        pytest.param("DaskRunner", marks=pytest.mark.cluster),
    ],
)
def runner(request):
    cls = getattr(penstock.kedro, request.param)
    if request.param == "SequentialRunner":
        return cls()
    if request.param == "DaskRunner":
        return cls(request.getfixturevalue("client"))
    return request.getfixturevalue("processes") if request.param == "ParallelRunner" else cls(max_workers=2)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    """A log of thousands of runs would bury the one that failed."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@given(case=cases(), lost=st.sets(st.integers(0, 9)))
@settings(max_examples=25 * TIMES, deadline=None)
def test_a_run_is_the_same_as_kedros(runner, case, lost):
    """Values, errors, hooks, releases; then the same again for what is missing when some files are lost."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        theirs, ours = Path(one), Path(other)

        expected = outcome(case, kedro.runner.SequentialRunner(), theirs)
        seen = outcome(case, runner, ours)

        assert seen.error == expected.error
        assert seen.values == expected.values
        if expected.error:
            # Other nodes may have run before the one that failed; what that one did is the same.
            failed = {call for call in expected.calls if call.startswith("error ")}
            assert failed == {call for call in seen.calls if call.startswith("error ")}
            return
        assert seen.calls == expected.calls
        assert seen.releases == expected.releases
        assert files(ours) == files(theirs)
        first = seen.values

        for number, name in itertools.product(lost, "ab"):
            for folder in (theirs, ours):
                (folder / f"d{number}{name}").unlink(missing_ok=True)
        expected = outcome(case, kedro.runner.SequentialRunner(), theirs, only_missing_outputs=True)
        seen = outcome(case, runner, ours, only_missing_outputs=True)

        assert seen.nodes == expected.nodes
        # Kedro leaves out outputs that were there already, and adds those whose readers were skipped.
        there = {name: value for name, value in first.items() if (theirs / name.split("@")[0]).exists()}
        assert (seen.error, seen.calls) == (expected.error, expected.calls)
        assert seen.values == {
            **there,
            **{name: expected.values[name] for name in first.keys() & expected.values.keys()},
        }
        assert files(ours) == files(theirs)


def files(folder):
    return {file.name: pickle.loads(file.read_bytes()) for file in folder.iterdir() if file.name != "log"}
