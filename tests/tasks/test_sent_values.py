"""Values between workers: which are pickled, what travels of them, and who sees an error in a pickle."""

from __future__ import annotations

import datetime as dt
import pickle
import threading

import numpy as np
import pytest
from dask.sizeof import sizeof

import penstock
from penstock.hooks import Hooks
from penstock.pipeline import node
from penstock.tasks.backend import Context
from penstock.tasks.load_tasks import Load, LoadedValue, SharedLoad, loaded_to_send
from penstock.tasks.values import SentValue, always_travels

pandas = pytest.importorskip("pandas")


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        "text",
        bytearray(b"x"),
        np.zeros(3),
        pandas.DataFrame({"name": ["a", None], "n": [1, 2]}),
        pandas.DataFrame({"dtype": [dt.date(2026, 1, 1)]}, dtype=object),
    ],
    ids=repr,
)
def test_plain_values_arrays_and_frames_always_travel(value):
    assert always_travels(value)


@pytest.mark.parametrize(
    "value",
    [[1], {"a": 1}, np.array([threading.Lock()]), pandas.DataFrame({"x": [1, threading.Lock()]}), print],
    ids=["list", "dict", "array", "frame", "function"],
)
def test_other_values_are_tried(value):
    assert not always_travels(value)


def test_large_buffers_of_a_sent_value_are_not_copied():
    array = np.arange(100_000)
    buffers = []

    dumped = pickle.dumps(SentValue([array]), protocol=5, buffer_callback=buffers.append)
    arrived = pickle.loads(dumped, buffers=[bytearray(buffer.raw()) for buffer in buffers])
    again = pickle.loads(pickle.dumps(arrived, protocol=5))

    assert len(dumped) < 1000
    assert sizeof(arrived) > array.nbytes
    assert [*arrived.open()[0]] == [*again.open()[0]] == [*array]


def unpickle_elsewhere():
    raise OSError("no connection")


class Elsewhere:
    def __reduce__(self):
        return unpickle_elsewhere, ()


def test_an_error_in_a_pickle_names_the_dataset_and_the_type():
    arrived = pickle.loads(pickle.dumps(SentValue(Elsewhere())))

    with pytest.raises(OSError, match="no connection") as raised:
        arrived.open("model")

    note = "Raised while the Elsewhere of 'model', which another process has sent, was unpickled."
    assert raised.value.__notes__ == [note]


# Loads


class Reader:
    """A value that cannot be pickled, and is to be closed."""

    is_closed = False

    def close(self):
        self.is_closed = True

    def __reduce__(self):
        raise TypeError("an open file")


class Store:
    """A dataset that counts its loads."""

    def __init__(self, make=Reader):
        self.loads = []
        self.make = make

    def load(self):
        self.loads.append(self.make())
        return self.loads[-1]

    def save(self, data): ...

    def exists(self):
        return True

    def release(self): ...


class Elsewise:
    leaves_process = True


def load(store, run_id, load_type=Load):
    reader = node(len, "x", "n", name="reader")
    return load_type(Context(Elsewise(), run_id), reader, "x", penstock.DataCatalog({"x": store}))


def test_a_value_that_does_not_travel_is_closed_when_another_process_gets_it():
    store = Store()
    loaded = loaded_to_send(load(store, "run 1"), Hooks())

    mark = loaded.__reduce__()

    assert store.loads[0].is_closed
    assert len(store.loads) == 1
    assert mark[0](*mark[1]).open() is store.loads[1]


def test_in_one_process_it_is_handed_on():
    store = Store()
    loaded = loaded_to_send(load(store, "run 2"), Hooks())

    assert loaded.open() is store.loads[0]
    assert (len(store.loads), store.loads[0].is_closed) == (1, False)


def test_in_the_rest_of_the_run_the_load_task_does_not_try_again():
    store = Store()
    loaded_to_send(load(store, "run 3"), Hooks())

    later = loaded_to_send(load(store, "run 3"), Hooks())
    loads_before = len(store.loads)
    value = later.open()

    assert (loads_before, value) == (1, store.loads[1])
    assert isinstance(loaded_to_send(load(store, "run 4"), Hooks()), LoadedValue)
    assert len(store.loads) == 3


def test_what_several_nodes_read_stays_open_and_is_loaded_once():
    store = Store()
    loaded = loaded_to_send(load(store, "run 5", SharedLoad), Hooks())
    function, arguments = loaded.__reduce__()

    arrived = function(*arguments)

    assert arrived.open() is arrived.open() is store.loads[1]
    assert (len(store.loads), store.loads[0].is_closed) == (2, False)


def test_tables_of_ibis_stay_with_their_connection():
    """Their pickle can be unpickled, and fails when it is used."""
    table = type("Table", (), {"__module__": "ibis.expr.types"})
    store = Store(table)

    loaded = loaded_to_send(load(store, "run 6"), Hooks())

    assert loaded.sent is None
    assert loaded.open() is store.loads[0]


def test_plain_data_is_handed_over_as_it_is():
    assert loaded_to_send(load(Store(lambda: 7), "run 7"), Hooks()) == 7


def test_a_sent_value_goes_through_the_older_protocol_of_dasks_scheduler():
    sent = SentValue([np.arange(3)])

    assert [*pickle.loads(pickle.dumps(sent, protocol=4)).open()[0]] == [0, 1, 2]
