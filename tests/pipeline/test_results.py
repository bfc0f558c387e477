from __future__ import annotations

import functools
import itertools

import pytest

from penstock.errors import NodeDataError
from penstock.pipeline import node

pytestmark = pytest.mark.smoke


def identity(value):
    return value


@pytest.mark.parametrize(
    ("outputs", "result", "by_dataset"),
    [
        ("a", None, {"a": None}),
        (["a", "b"], [1, 2], {"a": 1, "b": 2}),
        (["a", "b"], (1, 2), {"a": 1, "b": 2}),
        ({"x": "a", "y": "b"}, {"y": 2, "x": 1}, {"a": 1, "b": 2}),
        ([], [], {}),
    ],
)
def test_results_are_taken_apart_by_the_declared_outputs(outputs, result, by_dataset):
    assert node(identity, "in", outputs).run({"in": result}) == by_dataset


@pytest.mark.parametrize(
    ("outputs", "result", "expected", "got"),
    [
        (["a", "b"], (1,), "2 for ['a', 'b']", "1"),
        (["a", "b"], (1, 2, 3), "2 for ['a', 'b']", "3"),
        (["a", "b"], {1, 2}, "list or tuple", "'set'"),
        (["a"], "x", "list or tuple", "'str'"),
        (["a"], iter([1]), "list or tuple", "'list_iterator'"),
        ({"x": "a"}, (1,), "['x']", "'tuple'"),
        ({"x": "a"}, {"x": 1, "z": 2}, "['x']", "['x', 'z']"),
        ({"x": "a", "y": "b"}, {"x": 1}, "['x', 'y']", "['x']"),
    ],
)
def test_a_result_that_does_not_match_the_outputs_is_reported_with_both_sides(outputs, result, expected, got):
    with pytest.raises(NodeDataError) as raised:
        node(identity, "in", outputs, name="odd").run({"in": result})

    assert isinstance(raised.value, ValueError)
    for part in ("odd", expected, got):
        assert part in str(raised.value)


def pairs(count):
    for number in range(count):
        yield [number, -number]


def test_a_generator_gives_one_lazy_stream_for_each_output():
    outputs = node(pairs, "count", ["up", "down"]).run({"count": 3})

    assert list(outputs["up"]) == [0, 1, 2]
    assert list(outputs["down"]) == [0, -1, -2]


def test_streams_read_in_turn_let_the_generator_work_step_by_step():
    """Chunks are saved in turn, so that a table larger than memory never is in memory."""
    made = []

    def counted():
        for number in itertools.count():
            made.append(number)
            yield {"x": number, "y": number}

    outputs = node(counted, None, {"x": "a", "y": "b"}).run()
    read = [next(outputs[name]) for name in ("a", "b", "a", "b")]

    assert read == [0, 0, 1, 1]
    assert made == [0, 1]


def test_a_single_output_gets_the_generator_itself():
    outputs = node(pairs, "count", "all").run({"count": 2})

    assert list(outputs["all"]) == [[0, 0], [1, -1]]


def test_a_generator_function_may_be_wrapped_or_partial():
    @functools.wraps(pairs)
    def wrapper(*args):
        return pairs(*args)

    for func in (wrapper, functools.partial(pairs, 2)):
        outputs = node(func, "count" if func is wrapper else None, ["a", "b"]).run(
            {"count": 2} if func is wrapper else {}
        )
        assert list(outputs["a"]) == [0, 1]


@pytest.mark.parametrize("outputs", [["a"], ["a", "b", "c"], {"x": "a", "y": "b"}])
def test_the_first_item_is_checked_before_anything_is_saved(outputs):
    with pytest.raises(NodeDataError, match="yielded"):
        node(pairs, "count", outputs).run({"count": 2})


def test_a_later_item_of_another_shape_is_reported_when_it_is_read():
    def growing():
        yield [1, 2]
        yield [1, 2, 3]

    outputs = node(growing, None, ["a", "b"]).run()

    assert next(outputs["a"]) == 1
    with pytest.raises(NodeDataError, match="2 for"):
        next(outputs["a"])


def test_a_generator_that_yields_nothing_is_reported():
    with pytest.raises(NodeDataError, match="yielded nothing"):
        node(pairs, "count", ["a", "b"]).run({"count": 0})


def test_an_error_while_later_items_are_made_passes_as_it_is():
    def failing():
        yield [1, 2]
        raise KeyError("late")

    outputs = node(failing, None, ["a", "b"]).run()

    assert next(outputs["b"]) == 2
    with pytest.raises(KeyError, match="late"):
        next(outputs["b"])
