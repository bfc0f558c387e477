"""One law: whatever the pipeline, every runner gives what its nodes give when they run by hand, one after the other.

The nodes of these pipelines write into their inputs, and what they make tells what they saw: a value that is shared where
it should be copied, a dataset that is read too early, or twice, changes the result.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import DaskRunner
from penstock.io import CachedDataset, DataCatalog, JSONDataset, MemoryDataset, PickleDataset
from penstock.pipeline import node, pipeline
from penstock.runner import SequentialRunner, Task, ThreadRunner
from tests.soak import TIMES

KINDS = ("unregistered", "memory", "pickle", "json", "cached", "transcoded")
FREE_KINDS = ("memory", "none", "large", "pickle", "json", "cached")


@dataclass
class Case:
    """A pipeline, described by plain values."""

    kind_by_free_input: dict[str, str]
    nodes: list[tuple[list[str], list[str], bool]] = field(default_factory=list)
    """The inputs and outputs of each node, and whether it is a generator function."""
    kind_by_dataset: dict[str, str] = field(default_factory=dict)

    def pipeline(self, *, streams=True):
        return pipeline(
            [
                node(
                    function_of(number, len(outputs), is_stream=is_stream and streams),
                    [self.spelt(name, "read") for name in inputs] or None,
                    [self.spelt(name, "write") for name in outputs],
                    name=f"n{number}",
                )
                for number, (inputs, outputs, is_stream) in enumerate(self.nodes)
            ]
        )

    def spelt(self, name, use):
        return f"{name}@{use}" if self.kind_by_dataset.get(name) == "transcoded" else name

    def catalog(self, folder):
        catalog = DataCatalog()
        for name, kind in self.kind_by_free_input.items():
            if kind == "none":
                catalog[name] = MemoryDataset(None)
                continue
            catalog[name] = dataset_of("memory" if kind == "large" else kind, Path(folder, name))
            catalog.save(name, [name, "x" * 100_000] if kind == "large" else [name])
        for name, kind in self.kind_by_dataset.items():
            if kind == "transcoded":
                for use in ("write", "read"):
                    catalog[f"{name}@{use}"] = PickleDataset(str(Path(folder, name)))
            elif kind != "unregistered":
                catalog[name] = dataset_of(kind, Path(folder, name))
        return catalog


def dataset_of(kind, path):
    return {
        "memory": MemoryDataset,
        "pickle": lambda: PickleDataset(str(path)),
        "json": lambda: JSONDataset(str(path)),
        "cached": lambda: CachedDataset(PickleDataset(str(path))),
    }[kind]()


def function_of(number, outputs, *, is_stream):
    """A function that tells what it saw, and then spoils it."""

    def values(inputs, chunk):
        seen = zlib.crc32(json.dumps(inputs).encode())
        for each in inputs:
            if each is not None:
                each.append(f"spoilt by {number}")
        return [[number, chunk, seen, output] for output in range(outputs)]

    def call(*inputs):
        return values(inputs, 0)

    def stream(*inputs):
        yield values(inputs, 0)
        yield values(inputs, 1)

    return stream if is_stream else call


@st.composite
def cases(draw):
    free = {f"f{k}": draw(st.sampled_from(FREE_KINDS)) for k in range(draw(st.integers(0, 2)))}
    case = Case(free)
    for number in range(draw(st.integers(1, 6))):
        known = [*free, *case.kind_by_dataset]
        inputs = draw(st.lists(st.sampled_from(known), max_size=3)) if known else []
        outputs = [f"d{number}_{k}" for k in range(draw(st.integers(1, 3)))]
        case.nodes.append((inputs, outputs, draw(st.integers(0, 4)) == 0))
        case.kind_by_dataset.update((name, draw(st.sampled_from(KINDS))) for name in outputs)
    return case


def found(nodes, catalog):
    """What can be asked of the catalog when all has run."""
    stored = {name for name in catalog if not getattr(catalog[name], "_EPHEMERAL", False)}
    return {name: catalog.load(name) for name in sorted(stored | nodes.outputs())}


def by_hand(case, folder, *, streams):
    nodes, catalog = case.pipeline(streams=streams), case.catalog(folder)
    for name in nodes.datasets():
        catalog.get(name, fallback_to_runtime_pattern=True)
    for each in nodes.nodes:
        Task(each, catalog).run()
    return found(nodes, catalog)


def check(runner, case):
    streams = not runner.is_async
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        expected = by_hand(case, one, streams=streams)
        nodes, catalog = case.pipeline(streams=streams), case.catalog(other)

        for _ in range(2):
            result = runner.run(nodes, catalog)

            assert found(nodes, catalog) == expected
            assert sorted(result) == sorted(nodes.outputs())


def examples(count):
    return settings(
        max_examples=count * TIMES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@examples(50)
@given(cases())
def test_sequential(case):
    check(SequentialRunner(), case)


@examples(15)
@given(cases())
def test_sequential_async(case):
    check(SequentialRunner(is_async=True), case)


@examples(25)
@given(cases())
def test_threads(case):
    check(ThreadRunner(max_workers=3), case)


@examples(15)
@given(cases())
def test_processes(processes, case):
    check(processes, case)


@examples(5)
@given(cases())
def test_processes_async(async_processes, case):
    check(async_processes, case)


@examples(15)
@given(cases())
def test_cluster(client, case):
    check(DaskRunner(client), case)


@examples(15)
@given(cases())
def test_cluster_of_threads(in_process_client, case):
    check(DaskRunner(in_process_client), case)


def test_the_law_sees_a_value_that_is_shared():
    """The law would not be worth much if its nodes did not tell."""
    case = Case({"f": "memory"}, [(["f"], ["a"], False), (["a"], ["b"], False), (["a", "b"], ["c"], False)])
    case.kind_by_dataset = {"a": "unregistered", "b": "unregistered", "c": "unregistered"}
    nodes, catalog = case.pipeline(), case.catalog("")

    class Sharing(MemoryDataset):
        """It gives everybody the same object."""

        def load(self):
            return self._data

    catalog["a"] = Sharing()
    for name in "bc":
        catalog[name] = MemoryDataset()
    for each in nodes.nodes:
        Task(each, catalog).run()

    assert catalog.load("c") != by_hand(case, "", streams=True)["c"]
