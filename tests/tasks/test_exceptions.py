"""Exceptions on their way home: every kind arrives as itself, or as all that is known of it."""

from __future__ import annotations

import builtins
import pickle
import sys
import threading
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import CannotSendError, MissingInputError, NodeError
from penstock.tasks.exceptions import MAX_TEXT_LENGTH, PackedError, add_note, pack_error, unpack_error
from penstock.testing import CountsUp, notes_of

pytestmark = [pytest.mark.smoke, pytest.mark.pythons]


def home(error, task="node 'train'"):
    """The exception after its journey: raised, carried, pickled, unpacked."""
    with pytest.raises(type(error)) as raised:
        throw(error)
    return unpack_error(pickle.loads(pickle.dumps(pack_error(raised.value, task))))


def throw(error):
    raise error


class SlottedError(Exception):
    def __init__(self, a, *, b):
        super().__init__(a)
        self.b = b

    def __str__(self):
        return f"{self.args[0]} and {self.b}"


class ReducedError(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a}-{b}")
        self.pair = (a, b)

    def __reduce__(self):
        return type(self), self.pair


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class LockedError(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain"),
        KeyError("key"),
        OSError(2, "No such file", "x.csv"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        StopIteration(3),
        SystemExit(3),
        KeyboardInterrupt(),
        CountsUp("Ann", 3),
        SlottedError("a", b="b"),
        ReducedError(1, 2),
        MissingInputError({"a"}, "DataCatalog"),
        CannotSendError({"node 'x'": "a lock"}),
        NodeError("node 'x'", "gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_comes_home_as_itself(error):
    add_note(error, "while training")

    arrived = home(error)

    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.args == error.args or sys.version_info >= (3, 11)
    assert "while training" in notes_of(arrived)


@given(st.lists(st.text() | st.integers() | st.none(), max_size=3))
def test_the_arguments_of_an_exception_come_home(arguments):
    arrived = home(LookupError(*arguments))

    assert arrived.args == tuple(arguments)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no exception groups")
def test_exception_groups_come_home_with_all_that_is_in_them():
    """Nodes that use asyncio or a task group raise them."""
    inner = CountsUp("Ben", 2)
    inner.__cause__ = KeyError("k")
    group = builtins.ExceptionGroup(
        "several", [ValueError("one"), inner, builtins.ExceptionGroup("deep", [LockedError("closed")])]
    )

    arrived = home(group)

    one, two, deep = arrived.exceptions
    assert str(arrived) == str(group)
    assert (type(one), str(one)) == (ValueError, "one")
    assert (two.name, two.count, type(two.__cause__)) == ("Ben", 2, KeyError)
    assert "closed" in str(deep.exceptions[0])


def test_the_code_of_an_exit_comes_home():
    assert home(SystemExit(3)).code == 3


def test_attributes_come_home():
    arrived = home(CountsUp("Ann", 3))

    assert (arrived.name, arrived.count) == ("Ann", 3)


@pytest.mark.parametrize("error", [LockedError("closed"), MuteError()], ids=["unpicklable", "without text"])
def test_an_exception_that_cannot_be_sent_arrives_as_text(error):
    arrived = home(error)

    assert type(arrived) is NodeError
    assert arrived.task == "node 'train'"
    assert "in throw" in str(arrived)
    assert type(error).__name__ in str(arrived)


def test_an_exception_of_a_class_that_the_driver_lacks_arrives_as_text():
    """A module that only the workers have: its exception arrives as text."""
    packed = PackedError("node 'train'", b"cnosuchmodule\nError\n.", "the worker's traceback")

    arrived = unpack_error(packed)

    assert type(arrived) is NodeError
    assert "the worker's traceback" in str(arrived)


def test_the_traceback_comes_home():
    """As a traceback where tblib is installed, and as a note where it is not."""
    arrived = home(ValueError("x"))

    assert "in throw" in "".join(traceback.format_tb(arrived.__traceback__)) + "".join(notes_of(arrived))


def test_an_exception_that_was_never_raised_has_no_traceback_to_tell_of():
    arrived = unpack_error(pickle.loads(pickle.dumps(pack_error(ValueError("x"), "load of 'y'"))))

    assert str(arrived) == "x"
    assert notes_of(arrived) == []


def test_causes_come_home_in_their_order():
    def chain():
        try:
            try:
                {}["first"]
            except KeyError as first:
                raise LockedError("second") from first
        except LockedError:
            raise ValueError("third")  # noqa: B904 - the context is what is tried

    try:
        chain()
    except ValueError as raised:
        arrived = unpack_error(pack_error(raised, "task"))

    second = arrived.__context__
    assert arrived.__cause__ is None
    assert type(second) is NodeError
    assert "second" in str(second)
    assert type(second.__cause__) is KeyError


def test_a_cause_that_is_hidden_stays_hidden():
    try:
        try:
            {}["hidden"]
        except KeyError:
            raise ValueError("shown") from None
    except ValueError as raised:
        arrived = unpack_error(pack_error(raised, "task"))

    assert arrived.__cause__ is None
    assert arrived.__context__ is None or arrived.__suppress_context__


def test_a_circle_of_causes_ends():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    arrived = unpack_error(pack_error(first, "task"))

    assert "second" in str(arrived.__cause__)


def test_on_the_way_it_is_short_enough_for_dask():
    """distributed replaces an exception whose text is longer than 10,000 characters by another one."""
    packed = pack_error(ValueError("x" * 100_000), "node 'train'")

    assert len(str(packed)) < MAX_TEXT_LENGTH + 100
    assert str(unpack_error(packed)) == "x" * 100_000
