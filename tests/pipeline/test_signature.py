from __future__ import annotations

import asyncio
import functools
import gc
import weakref

import pytest

from penstock.errors import InvalidNodeError, SignatureError
from penstock.pipeline import node
from penstock.pipeline.signature import bound_order

pytestmark = [pytest.mark.smoke, pytest.mark.pythons]


def two(first, second):
    return first, second


def test_inputs_that_the_function_does_not_take_are_reported_with_its_parameters():
    with pytest.raises(SignatureError) as raised:
        node(two, ["a", "b", "c"], "out")

    assert isinstance(raised.value, TypeError)
    for part in ("'two'", "['first', 'second']", "['a', 'b', 'c']"):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    "inputs", [None, "a", [], {"first": "a"}, {"first": "a", "third": "b"}, {1: "a", 2: "b"}]
)
def test_too_few_and_unknown_arguments_are_refused(inputs):
    with pytest.raises(SignatureError):
        node(two, inputs, "out")


def test_a_refusal_is_not_forgotten_when_the_function_is_used_again():
    assert node(two, ["a", "b"], "out")

    for _ in range(2):
        with pytest.raises(SignatureError):
            node(two, ["a"], "out")


def test_a_wrapper_takes_what_it_takes_and_not_what_it_wraps():
    """A decorated function is called through its wrapper, so its own parameters do not matter."""

    @functools.wraps(two)
    def wrapper(*args, **kwargs):
        return two(*args, **kwargs)

    assert node(wrapper, ["a", "b", "c"], "out").inputs == ["a", "b", "c"]
    assert node(wrapper, {"second": "b", "first": "a"}, "out").inputs == ["b", "a"]


def test_a_partial_takes_its_remaining_parameters():
    filled = functools.partial(two, 1)

    assert node(filled, "a", "out").run({"a": 2}) == {"out": (1, 2)}
    with pytest.raises(SignatureError, match=r"\['second'\]"):
        node(filled, ["a", "b"], "out")


async def fetch(url):
    return url


async def stream(url):
    yield url


class Fetcher:
    async def __call__(self, url):
        return url


@pytest.mark.parametrize("func", [fetch, stream, functools.partial(fetch), Fetcher(), Fetcher().__call__])
def test_an_async_function_is_refused_with_what_to_write(func):
    """Its node would return a coroutine that is never awaited."""
    with pytest.raises(InvalidNodeError, match=r"an async function, and a node awaits nothing.*asyncio\.run"):
        node(func, "a", "out")
    made = node(str, "a", "out")
    with pytest.raises(InvalidNodeError, match="an async function"):
        made.func = func


def test_a_function_that_runs_an_async_one_makes_a_node():
    assert node(lambda url: asyncio.run(fetch(url)), "a", "out").run({"a": "x"}) == {"out": "x"}


@pytest.mark.parametrize("written_in_c", [len, max, dict, int])
def test_functions_without_a_signature_are_not_checked(written_in_c):
    assert node(written_in_c, ["a", "b", "c"], "out")


def test_a_class_takes_what_its_constructor_takes():
    class Model:
        def __init__(self, rate):
            self.rate = rate

    assert node(Model, "a", "out").run({"a": 1})["out"].rate == 1
    with pytest.raises(SignatureError, match="'Model'"):
        node(Model, ["a", "b"], "out")


def test_a_positional_only_parameter_cannot_be_given_by_name():
    with pytest.raises(SignatureError):
        node(lambda x, /: x, {"x": "a"}, "out")


def test_the_cache_of_signatures_does_not_keep_a_function_alive():
    """A notebook makes functions again and again."""

    def passing(x):
        return x

    bound_order(passing, ["a"])
    gone = weakref.ref(passing)

    del passing
    gc.collect()

    assert gone() is None
