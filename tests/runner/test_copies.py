"""Nobody can tell which copies are left out: what one node does to a value, no other node sees, on any scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from penstock.io import DataCatalog
from penstock.pipeline import node, pipeline
from penstock.runner import DaskRunner, SequentialRunner, ThreadRunner

np = pytest.importorskip("numpy", reason="arrays and frames are copied in ways of their own")
pd = pytest.importorskip("pandas", reason="arrays and frames are copied in ways of their own")


class Record:
    def __init__(self):
        self.levels = [1, 2]


class Kind(NamedTuple):
    """A sort of value: how one is made, how it is written into, and what can be seen of it."""

    make: Callable[[], Any]
    write: Callable[[Any], None]
    seen: Callable[[Any], Any] = repr


def set_first(value):
    value[0] = 9


def set_frame(frame):
    frame.loc[0, "n"] = 9


def grow(frame):
    frame["new"] = 9


KINDS = {
    "list": Kind(lambda: [1, 2], set_first),
    "nested_list": Kind(lambda: [[1], 2], lambda value: value[0].append(9)),
    "list_in_a_tuple": Kind(lambda: ([1], 2), lambda value: value[0].append(9)),
    "dict": Kind(lambda: {"k": [1]}, lambda value: value["k"].append(9)),
    "set": Kind(lambda: {1}, lambda value: value.add(9)),
    "bytes_that_change": Kind(lambda: bytearray(200_000), set_first, lambda value: bytes(value[:2])),
    "record": Kind(Record, lambda value: value.levels.append(9), lambda value: repr(value.levels)),
    "array": Kind(lambda: np.array([1, 2]), set_first),
    "large_array": Kind(lambda: np.arange(50_000), set_first, lambda value: value[:2].tolist()),
    "view_of_an_array": Kind(lambda: np.arange(6)[::2], set_first),
    "frame": Kind(lambda: pd.DataFrame({"n": [1, 2]}), set_frame, pd.DataFrame.to_csv),
    "frame_that_grows": Kind(lambda: pd.DataFrame({"n": [1, 2]}), grow, pd.DataFrame.to_csv),
    "large_frame": Kind(lambda: pd.DataFrame({"n": range(50_000)}), set_frame, pd.DataFrame.to_csv),
    "column_of_a_frame": Kind(lambda: pd.DataFrame({"n": [1, 2]})["n"], set_first, pd.Series.to_csv),
}


CLUSTERS = [pytest.param(name, marks=pytest.mark.cluster) for name in ("cluster", "cluster of threads")]


@pytest.fixture(params=["sequential", "threads", "processes", *CLUSTERS])
def runner(request):
    if request.param == "cluster":
        return DaskRunner(request.getfixturevalue("client"))
    if request.param == "cluster of threads":
        return DaskRunner(request.getfixturevalue("in_process_client"))
    if request.param == "processes":
        return request.getfixturevalue("processes")
    return SequentialRunner() if request.param == "sequential" else ThreadRunner(max_workers=2)


def write(kind, value):
    kind.write(value)
    return "written"


def look(kind):
    """A function that reads a value when all others that it is given are there."""
    return lambda value, *_: kind.seen(value)


def seen(runner, nodes_of, free=()):
    """What the output `seen` is for each kind of value, in one run of the nodes for all of them.

    Args:
        runner: Runs them.
        nodes_of: The nodes for one kind.
        free: The names of free inputs, which are values of the kind.
    """
    pipes = [pipeline(nodes_of(kind), namespace=name) for name, kind in KINDS.items()]
    given = {f"{kind}.{name}": KINDS[kind].make() for kind in KINDS for name in free}
    catalog = DataCatalog(given)
    result = runner.run(sum(pipes, pipeline([])), catalog)
    assert {name: KINDS[name.partition(".")[0]].seen(catalog.load(name)) for name in given} == {
        name: AS_MADE[name.partition(".")[0]] for name in given
    }
    return {name: result[f"{name}.seen"].load() for name in KINDS}


AS_MADE = {name: kind.seen(kind.make()) for name, kind in KINDS.items()}


def test_a_maker_that_keeps_its_output_changes_its_own(runner):
    """A function that returns a buffer, or an attribute of an object that lives on."""

    def nodes(kind):
        kept = kind.make()
        return [
            node(lambda: (kept, "made"), None, ["value", "made"], name="make"),
            node(lambda _: write(kind, kept), "made", "written", name="write"),
            node(look(kind), ["value", "written"], "seen", name="read"),
        ]

    assert seen(runner, nodes) == AS_MADE


@pytest.mark.parametrize("is_free", [False, True])
def test_a_reader_that_writes_into_its_input_changes_its_own(runner, is_free):
    """Two readers of one value, one after the other."""

    def nodes(kind):
        readers = [
            node(lambda value: write(kind, value), "value", "written", name="write"),
            node(look(kind), ["value", "written"], "seen", name="read"),
        ]
        return readers if is_free else [node(kind.make, None, "value", name="make"), *readers]

    assert seen(runner, nodes, free=["value"] if is_free else []) == AS_MADE


def test_a_reader_that_keeps_its_input_changes_its_own(runner):
    """A reader that is done may write later: it has put the value into a list that outlives it."""

    def nodes(kind):
        kept = []
        return [
            node(kind.make, None, "value", name="make"),
            node(lambda value: kept.append(value) or "kept", "value", "kept", name="keep"),
            node(lambda _: [write(kind, value) for value in kept], "kept", "written", name="write"),
            node(look(kind), ["value", "written"], "seen", name="read"),
        ]

    assert seen(runner, nodes) == AS_MADE


def test_the_only_reader_of_a_value_does_not_write_into_what_its_maker_keeps(runner):
    """The shortcut of one copy for one reader: a maker that caches gives the same to the next run."""
    cache = {name: kind.make() for name, kind in KINDS.items()}

    def nodes(kind):
        (name,) = (name for name, each in KINDS.items() if each is kind)
        return [
            node(lambda: cache[name], None, "value", name="make"),
            node(lambda value: (kind.seen(value), kind.write(value))[0], "value", "seen", name="write"),
        ]

    first, second = (seen(runner, nodes) for _ in range(2))

    assert first == second == AS_MADE


def test_a_value_under_two_names_is_two_values(runner):
    def nodes(kind):
        return [
            node(lambda: (kind.make(),) * 2, None, ["left", "right"], name="make"),
            node(lambda left: write(kind, left), "left", "written", name="write"),
            node(look(kind), ["right", "written"], "seen", name="read"),
        ]

    assert seen(runner, nodes) == AS_MADE


def test_a_value_that_is_passed_on_is_another_one(runner):
    """A node that returns its input: who writes into the output leaves the input alone."""

    def nodes(kind):
        return [
            node(kind.make, None, "value", name="make"),
            node(lambda value: value, "value", "same", name="pass_on"),
            node(lambda same: write(kind, same), "same", "written", name="write"),
            node(look(kind), ["value", "written"], "seen", name="read"),
        ]

    assert seen(runner, nodes) == AS_MADE


def test_what_comes_back_is_apart_from_the_maker_and_from_what_came_before(runner):
    kept = {name: kind.make() for name, kind in KINDS.items()}
    makers = [node(lambda name=name: kept[name], None, name, name=f"make_{name}") for name in KINDS]

    result = runner.run(pipeline(makers), DataCatalog())
    for name, kind in KINDS.items():
        kind.write(kept[name])
        kind.write(result[name].load())

    assert {name: kind.seen(result[name].load()) for name, kind in KINDS.items()} == AS_MADE
