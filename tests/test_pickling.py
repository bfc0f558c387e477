"""What can be sent to another process, and what in a thing stands in the way."""

from __future__ import annotations

import functools
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock._pickling import SharedPickles, unpickled, why_not_sendable

pytestmark = [pytest.mark.smoke, pytest.mark.pythons]


LOCK = threading.Lock()

PLAIN = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class Holder:
    def __init__(self, **attributes):
        vars(self).update(attributes)

    def method(self, data):
        return data


class Slotted:
    __slots__ = ("latch",)

    def __init__(self):
        self.latch = threading.Lock()


class Alone:
    _SINGLE_PROCESS = True


@pytest.mark.parametrize(
    "thing",
    [None, 1, "text", [1, {"a": (2,)}], lambda x: x, functools.partial(int, base=2), Holder(a=1), Holder],
)
def test_what_can_be_sent_has_no_reason_not_to(thing):
    assert why_not_sendable(thing) is None


def with_captured():
    padlock = threading.Lock()
    return lambda: padlock


def with_global():
    return LOCK


def with_default(latch=LOCK):
    return latch


def with_recursion():
    padlock = threading.Lock()

    def inner():
        return padlock, later

    if padlock is None:
        later = 1
    return inner


@pytest.mark.parametrize(
    ("thing", "blamed"),
    [
        (Holder(latch=threading.Lock()), "attribute 'latch'"),
        (Holder(deep=Holder(latch=threading.Lock())), "attribute 'latch' of attribute 'deep'"),
        (Slotted(), "attribute 'latch'"),
        (with_captured(), "captured variable 'padlock'"),
        (with_recursion(), "captured variable 'padlock'"),
        (functools.partial(with_captured(), 1), "captured variable 'padlock'"),
        (Holder(latch=threading.Lock()).method, "attribute 'latch'"),
        (Alone(), "_SINGLE_PROCESS"),
    ],
    ids=["attribute", "deep", "slot", "closure", "empty cell", "partial", "method", "marked"],
)
def test_the_part_to_blame_is_named(thing, blamed):
    """`cannot pickle '_thread.lock' object` says nothing to somebody who has never made a lock."""
    reason = why_not_sendable(thing)

    assert blamed in reason


def test_functions_of_the_main_module_are_looked_into():
    """In a script or a notebook what a function uses travels with it."""
    namespace = {"__name__": "__main__", "LOCK": LOCK}
    exec("def uses():\n    return LOCK\ndef default(latch=LOCK):\n    return latch", namespace)

    assert "global variable 'LOCK'" in why_not_sendable(namespace["uses"])
    assert "default argument" in why_not_sendable(namespace["default"])


def test_an_error_of_the_thing_itself_is_the_reason():
    class Stubborn:
        def __reduce__(self):
            raise LookupError("I stay here")

    assert why_not_sendable(Stubborn()) == "LookupError: I stay here"


def test_large_data_is_not_copied_for_the_answer():
    """It is asked about every dataset before every run."""
    np = pytest.importorskip("numpy")
    import tracemalloc  # noqa: PLC0415 - only here

    data = Holder(array=np.zeros(20_000_000, dtype="uint8"))
    tracemalloc.start()
    try:
        assert why_not_sendable(data) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000


def test_a_pickle_of_all_pickles_has_what_they_share_once():
    """Functions of a notebook are sent with the arrays that they use."""
    np = pytest.importorskip("numpy")
    parameters, heights = {"text": "x" * 100_000}, np.arange(50_000)
    functions = [lambda: int(heights.sum()), lambda: int(heights.max())]
    tasks = [[functions[number % 2], parameters, number] for number in range(20)]
    pickles = SharedPickles([parameters, *functions])

    sent = [pickles.pickled(task) for task in tasks]

    assert len(pickle.dumps(sent, protocol=5)) < 1.1 * (heights.nbytes + 100_000) + 20 * 2_000
    for number, each in enumerate(map(unpickled, sent)):
        assert (each[0](), each[1:]) == (functions[number % 2](), [parameters, number])


def test_what_was_unpickled_is_apart_and_can_be_written_to():
    np = pytest.importorskip("numpy")
    part = {"level": [1]}
    shared = SharedPickles([part]).pickled([part, np.zeros(50_000)])

    (first, array), (second, other) = unpickled(shared), unpickled(shared)
    first["level"].append(2)
    array[0] = 9

    assert second == {"level": [1]}
    assert other[0] == 0


def test_a_part_that_stands_twice_is_one_object():
    part = ["x" * 2_000]

    first, second = unpickled(SharedPickles([part]).pickled([part, (part,)]))

    assert second[0] is first


def test_functions_of_a_script_share_its_variables():
    """One that is the function of a node, and one that a dataset of the node uses."""
    script = {"__name__": "__main__"}
    exec("SEEN = []\ndef add(x): SEEN.append(x)\ndef seen(): return SEEN", script)
    pickles = SharedPickles([script["add"]])

    add, seen = unpickled(pickles.pickled([script["add"], script["seen"]]))
    add(1)

    assert seen() == [1]


@given(things=st.lists(PLAIN), numbers=st.sets(st.integers(0, 5)))
def test_things_come_back_whatever_they_share(things, numbers):
    parts = [thing for number, thing in enumerate(things) if number in numbers]
    pickles = SharedPickles(parts)

    assert [unpickled(pickles.pickled([each, parts])) for each in things] == [
        [each, parts] for each in things
    ]
