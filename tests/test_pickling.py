"""What can be sent to another process, and what in a thing stands in the way."""

from __future__ import annotations

import functools
import threading

import pytest

from penstock._pickling import why_not_sendable

pytestmark = [pytest.mark.smoke, pytest.mark.pythons]


LOCK = threading.Lock()


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
