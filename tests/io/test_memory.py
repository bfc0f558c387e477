import copy
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.io import DatasetError, MemoryDataset
from penstock.io.memory import Deferred, copied

pytestmark = pytest.mark.smoke


ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.sets(st.integers())
    ),
    max_leaves=20,
)


def parts(value):
    """All mutable containers in a value."""
    if isinstance(value, dict):
        return [value, *(part for inner in value.values() for part in parts(inner))]
    if isinstance(value, (list, tuple)):
        own = [value] if isinstance(value, list) else []
        return own + [part for inner in value for part in parts(inner)]
    return [value] if isinstance(value, set) else []


@given(VALUES)
def test_a_copy_is_equal_and_shares_nothing_that_can_be_changed(value):
    made = copied(value)

    assert made == value
    assert type(made) is type(value)
    assert not {id(part) for part in parts(made)} & {id(part) for part in parts(value)}


@given(VALUES)
def test_a_loaded_value_equals_the_saved_one_and_is_not_shared(value):
    given, saved = MemoryDataset(value), MemoryDataset()
    if value is not None:
        saved.save(value)
    untouched = copy.deepcopy(value)

    for part in [*parts(value), *parts(given.load()), *(parts(saved.load()) if saved.exists() else [])]:
        part.clear()

    assert given.load() == untouched
    assert not saved.exists() or saved.load() == untouched


@pytest.mark.parametrize(
    "value", [None, True, 7, 1.5, 2j, "text", b"bytes", (), (1, "a", None), frozenset({1, 2})], ids=repr
)
def test_an_immutable_value_is_not_copied(value):
    assert copied(value) is value


def test_a_subclass_of_a_number_is_copied_with_its_attributes():
    class Celsius(float):
        pass

    value = Celsius(3)
    value.notes = ["mutable"]

    assert copied(value).notes is not value.notes


def test_a_tuple_that_holds_a_list_is_copied():
    value = ([1],)

    assert copied(value)[0] is not value[0]


@pytest.mark.parametrize("value", [pd.DataFrame({"a": [1, 2]}), np.array([1, 2])], ids=["frame", "array"])
def test_frames_and_arrays_are_copied(value):
    made = copied(value)
    made[:] = 0

    assert value.sum().sum() == 3


def test_frames_and_arrays_use_their_own_copy():
    """A deep copy of an array of objects would copy the objects as well."""
    inner = [1]
    value = np.array([inner, None], dtype=object)

    assert copied(value)[0] is inner
    assert copied(value, "deepcopy")[0] is not inner


def test_a_subclass_of_a_frame_is_copied_as_a_frame():
    class GeoFrame(pd.DataFrame):
        copies = 0

        def copy(self, deep=True):
            type(self).copies += 1
            return super().copy(deep)

    copied(GeoFrame({"a": [1]}))

    assert GeoFrame.copies == 1


def test_another_class_named_data_frame_is_not_copied():
    """Spark, Dask and polars: lazy or immutable, and a deep copy may fail."""
    value = type("DataFrame", (), {})()

    assert copied(value) is value


def test_an_ibis_table_is_not_copied():
    value = type("Table", (), {"__module__": "ibis.expr.types.relations"})()

    assert copied(value) is value


def test_a_series_is_deeply_copied():
    value = pd.Series([1, 2])

    made = copied(value)
    made[0] = 9

    assert value[0] == 1


@pytest.mark.parametrize("mode", ["deepcopy", "copy", "assign"])
def test_a_given_copy_mode_is_used(mode):
    value = [[1]]

    made = MemoryDataset(value, copy_mode=mode).load()

    assert (made is not value) == (mode != "assign")
    assert (made[0] is not value[0]) == (mode == "deepcopy")


def test_a_shallow_copy_works_without_a_copy_method():
    class Plain:
        pass

    value = Plain()

    assert copied(value, "copy") is not value


@pytest.mark.parametrize("value", [1, [1], "x"])
@pytest.mark.parametrize("mode", ["bad", "", []])
def test_an_unknown_copy_mode_is_an_error(value, mode):
    with pytest.raises(DatasetError, match="deepcopy"):
        copied(value, mode)


def test_a_value_that_cannot_be_copied_is_an_error_that_suggests_assign():
    with pytest.raises(DatasetError, match=r'lock.*copy_mode="assign"'):
        MemoryDataset(threading.Lock())


def test_a_value_that_cannot_be_copied_can_be_assigned():
    lock = threading.Lock()

    assert MemoryDataset(lock, copy_mode="assign").load() is lock


def test_an_empty_dataset_does_not_exist_and_cannot_be_loaded():
    dataset = MemoryDataset()

    assert not dataset.exists()
    with pytest.raises(DatasetError, match="empty"):
        dataset.load()


def test_none_can_be_given_but_not_saved():
    dataset = MemoryDataset(None)

    assert dataset.exists()
    assert dataset.load() is None
    with pytest.raises(DatasetError):
        dataset.save(None)


def test_a_frame_can_be_saved():
    """A frame has no truth, and comparing it with anything gives a frame."""
    dataset = MemoryDataset()

    dataset.save(pd.DataFrame({"a": [1]}))

    assert len(dataset.load()) == 1


def test_a_released_dataset_is_empty():
    dataset = MemoryDataset([1])

    dataset.release()

    assert not dataset.exists()


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps], ids=["pickle", "cloudpickle"])
def test_an_empty_dataset_stays_empty_when_pickled(dumps):
    arrived = pickle.loads(dumps(MemoryDataset()))

    assert not arrived.exists()
    arrived.save(1)
    assert arrived.load() == 1


def test_a_pickled_dataset_keeps_its_value_and_its_copy_mode():
    arrived = pickle.loads(pickle.dumps(MemoryDataset([1], copy_mode="assign", metadata="mine")))

    assert arrived.load() == [1]
    assert (arrived.copy_mode, arrived.metadata) == ("assign", "mine")


def test_repr_shows_the_type_and_never_the_value():
    assert repr(MemoryDataset(["secret"])) == "penstock.io.memory.MemoryDataset(data='<list>')"
    assert repr(MemoryDataset()) == "penstock.io.memory.MemoryDataset()"


def test_memory_is_ephemeral_and_can_be_sent():
    assert MemoryDataset._EPHEMERAL is True
    assert MemoryDataset._SINGLE_PROCESS is False


class Elsewhere:
    def __init__(self, value):
        self.value = value
        self.fetched = 0

    def fetch(self):
        self.fetched += 1
        # Long enough for other threads to come in between.
        time.sleep(0.01)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def deferring(value):
    dataset, elsewhere = MemoryDataset(), Elsewhere(value)
    dataset.defer(elsewhere)
    return dataset, elsewhere


def test_a_deferred_value_exists_and_is_fetched_by_the_first_load_only():
    dataset, elsewhere = deferring([1])

    assert isinstance(elsewhere, Deferred)
    assert dataset.exists()
    assert dataset.deferred is elsewhere
    assert "not loaded" in repr(dataset)
    assert elsewhere.fetched == 0

    first, second = dataset.load(), dataset.load()

    assert first == second == [1]
    assert first is not second
    assert elsewhere.fetched == 1
    assert dataset.deferred is None


def test_a_deferred_value_is_fetched_once_by_many_threads():
    dataset, elsewhere = deferring([1])

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda _: dataset.load(), range(50)))

    assert values == [[1]] * 50
    assert elsewhere.fetched == 1


def test_a_fetch_that_fails_can_be_tried_again():
    dataset, elsewhere = deferring(ConnectionError("cluster gone"))

    with pytest.raises(DatasetError, match="cluster gone"):
        dataset.load()
    elsewhere.value = 5

    assert dataset.load() == 5


@pytest.mark.parametrize(
    "drop", [lambda dataset: dataset.release(), lambda dataset: dataset.save(2)], ids=["release", "save"]
)
def test_release_and_save_drop_a_deferred_value(drop):
    dataset, elsewhere = deferring(1)

    drop(dataset)

    assert dataset.deferred is None
    assert elsewhere.fetched == 0


def test_a_deferred_value_replaces_the_previous_one():
    dataset = MemoryDataset(1)

    dataset.defer(Elsewhere(2))

    assert dataset.load() == 2


def test_pickling_fetches_a_deferred_value_first():
    dataset, _ = deferring([1])

    arrived = pickle.loads(pickle.dumps(dataset))

    assert arrived.deferred is None
    assert arrived.load() == [1]


def test_an_array_that_is_assigned_keeps_its_memory():
    value = np.zeros(3)

    assert MemoryDataset(value, copy_mode="assign").load() is value


def test_recognising_frames_imports_nothing(monkeypatch):
    monkeypatch.delitem(sys.modules, "pandas")
    monkeypatch.delitem(sys.modules, "numpy")

    copied(object())

    assert not {"pandas", "numpy"} & sys.modules.keys()
