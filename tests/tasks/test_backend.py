"""Handing over in one process: readers are kept apart by copies, and copies are left out where they make no difference."""

from __future__ import annotations

import threading

import pytest

from penstock.errors import DatasetError
from penstock.io import CachedDataset, DataCatalog, MemoryDataset, PickleDataset
from penstock.pipeline import node, pipeline
from penstock.runner import SequentialRunner, ThreadRunner
from penstock.tasks.bindings import OutputBinding

pytestmark = pytest.mark.smoke


np = pytest.importorskip("numpy", reason="arrays and frames are copied in ways of their own")
pd = pytest.importorskip("pandas", reason="arrays and frames are copied in ways of their own")


def write_list(value):
    value[0].append(9)


def write_dict(value):
    value["k"].append(9)


def write_array(value):
    value[0] = 9


def write_frame(value):
    value.loc[0, "n"] = 9


KINDS = {
    "list": (lambda: [[1], 2], write_list),
    "dict": (lambda: {"k": [1]}, write_dict),
    "array": (lambda: np.array([1, 2]), write_array),
    "frame": (lambda: pd.DataFrame({"n": [1, 2]}), write_frame),
}


@pytest.fixture(params=[SequentialRunner, ThreadRunner])
def runner(request):
    return request.param()


@pytest.fixture(params=KINDS)
def kind(request):
    """How to make a value, and how to write into it."""
    return KINDS[request.param]


def shown(value):
    """The value as text, to be compared later."""
    return value.to_csv() if isinstance(value, pd.DataFrame) else repr(value)


@pytest.mark.parametrize("dataset", ["unregistered", "memory", "cached"])
def test_a_maker_that_keeps_its_output_cannot_change_it(runner, kind, dataset, tmp_path):
    make, write = kind
    kept = make()

    def spoil(made):
        write(kept)
        return made

    catalog = DataCatalog()
    if dataset == "memory":
        catalog["value"] = MemoryDataset()
    if dataset == "cached":
        catalog["value"] = CachedDataset(PickleDataset(str(tmp_path / "value.pickle")))
    nodes = pipeline(
        [
            node(lambda: (kept, "made"), None, ["value", "made"], name="make"),
            node(spoil, "made", "spoilt", name="spoil"),
            node(lambda value, spoilt: shown(value), ["value", "spoilt"], "seen", name="read"),
        ]
    )

    result = runner.run(nodes, catalog)

    assert result["seen"].load() == shown(make())


@pytest.mark.parametrize("place", ["made", "free"])
def test_a_reader_that_writes_into_its_input_writes_for_itself(runner, kind, place):
    make, write = kind

    def spoil(value):
        write(value)
        return "spoilt"

    readers = [
        node(spoil, "value", "spoilt", name="spoil"),
        node(lambda value, spoilt: shown(value), ["value", "spoilt"], "seen", name="read"),
    ]
    maker = [node(make, None, "value", name="make")] if place == "made" else []
    catalog = DataCatalog({"value": make()} if place == "free" else {})

    result = runner.run(pipeline(maker + readers), catalog)

    assert result["seen"].load() == shown(make())


def test_an_output_is_apart_from_what_the_maker_keeps(runner, kind):
    make, write = kind
    kept = make()

    result = runner.run(pipeline([node(lambda: kept, None, "value", name="make")]), DataCatalog())
    write(kept)
    first = result["value"].load()
    write(first)

    assert shown(result["value"].load()) == shown(make())


class Copied:
    """Counts how often it is copied; its copies count for it."""

    def __init__(self):
        self.copies = []

    def __deepcopy__(self, _):
        self.copies.append(1)
        return self


@pytest.mark.parametrize("names", [["value"], ["value", "value"]], ids=["once", "twice"])
def test_the_only_reader_gets_no_copy_of_its_own(runner, names):
    """The copy for the maker keeps both apart. A reader that names a dataset twice is one reader, and data may be large."""
    value = Copied()
    make = node(lambda: value, None, "value", name="make")
    read = node(lambda *values: len(values), names, "count", name="read")

    result = runner.run(pipeline([make, read]), DataCatalog())

    assert result["count"].load() == len(names)
    assert len(value.copies) == 1


@pytest.mark.parametrize("readers", [1, 2])
def test_assign_hands_over_the_object_itself(runner, readers):
    """For what cannot or must not be copied: a session, a lazy frame, a model on a graphics card."""
    lock = threading.Lock()
    catalog = DataCatalog({"lock": MemoryDataset(copy_mode="assign")})
    nodes = pipeline(
        [
            node(lambda: lock, None, "lock", name="make"),
            *[
                node(lambda each: each is lock, "lock", f"is_same_{number}", name=f"read_{number}")
                for number in range(readers)
            ],
        ]
    )

    result = runner.run(nodes, catalog)

    assert all(dataset.load() for dataset in result.values())


def test_what_cannot_be_copied_is_an_error_that_says_what_to_do(runner):
    nodes = pipeline(
        [
            node(threading.Lock, None, "lock", name="make"),
            *[node(id, "lock", name, name=name) for name in "xy"],
        ]
    )

    with pytest.raises(DatasetError, match="assign"):
        runner.run(nodes, DataCatalog())


def test_a_value_with_one_reader_is_copied_once(runner):
    """The copy that keeps the maker away keeps the only reader away as well."""
    copies = []

    class Counted:
        def __deepcopy__(self, memo):
            copies.append(1)
            return self

    nodes = pipeline([node(Counted, None, "value", name="make"), node(id, "value", "seen", name="read")])

    runner.run(nodes, DataCatalog())

    assert len(copies) == 1


def test_an_output_that_nobody_takes_from_the_graph_is_not_kept_there():
    """What is computed again is not saved again, and may be of a kind that cannot even be copied."""
    assert OutputBinding(is_copied=True).write("db", threading.Lock()) is None
