from __future__ import annotations

import functools
import logging
import subprocess
import sys
import warnings

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidNodeError, NodeDataError, SignatureError
from penstock.pipeline import Node, Pipeline, node
from tests.pipeline.strategies import anything

pytestmark = [pytest.mark.smoke, pytest.mark.pythons]


WORDS = st.text("abc_-.1", min_size=1, max_size=4)
FORMS = st.one_of(
    st.none(),
    st.sampled_from(["a", "b"]),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
    st.dictionaries(st.sampled_from(["p", "q"]), st.sampled_from(["a", "b", "c"]), max_size=2),
)


def double(number):
    return 2 * number


def add(left, right=1):
    return left + right


class Scaler:
    def __call__(self, number):
        return number


# Forms and their checks.


@pytest.mark.parametrize(
    ("written", "flat"),
    [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"]), ({"left": "a", "right": "b"}, ["a", "b"])],
)
def test_inputs_are_a_list_for_each_form(written, flat):
    made = node(anything, written, "out")

    assert made.inputs == flat


@pytest.mark.parametrize(
    ("written", "flat"),
    [(None, []), ("a", ["a"]), (["b", "a"], ["b", "a"]), ({"x": "b", "y": "a"}, ["b", "a"])],
)
def test_outputs_are_a_list_in_the_given_order(written, flat):
    made = node(anything, "in", written)

    assert made.outputs == flat


def test_dict_inputs_are_listed_in_the_order_of_the_functions_parameters():
    made = node(lambda left, *, low, high: (left, low, high), {"high": "H", "left": "L", "low": "W"}, "out")

    assert made.inputs == ["L", "W", "H"]


def test_changing_the_given_lists_afterwards_does_not_change_the_node():
    inputs, outputs = ["a"], ["b", "c"]
    made = node(lambda x: (x, x), inputs, outputs)

    inputs.append("x")
    outputs.append("y")
    made.inputs.append("z")

    assert made.inputs == ["a"]
    assert made.run({"a": 1}) == {"b": 1, "c": 1}


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ((1, "a", "b"), "'int'"),
        ((double, ("a",), "b"), "'tuple'"),
        ((double, "a", {"b"}), "'set'"),
        ((double, ["a", 7], "b"), "'7'"),
        ((double, "a", {"x": 8}), "'8'"),
        ((double, None, None), "neither inputs nor outputs"),
        ((double, [], {}), "neither inputs nor outputs"),
        ((double, "a", ["b", "c", "b", "c"]), "'b', 'c'"),
        ((double, "a", {"x": "b", "y": "b"}), "'b'"),
        ((add, ["a@x", "b"], ["b", "a@y"]), "'a', 'b'"),
        ((double, "a@x@y", "b"), "'a@x@y'"),
    ],
)
def test_an_invalid_node_is_refused_with_its_culprits(arguments, culprit):
    with pytest.raises(InvalidNodeError) as raised:
        node(*arguments)

    assert isinstance(raised.value, ValueError)
    assert culprit in str(raised.value)


def test_one_dataset_can_be_taken_twice_and_is_passed_twice():
    made = node(add, ["a", "a"], "b")

    assert made.run({"a": 3}) == {"b": 6}


# Names and tags.


@given(WORDS, WORDS)
def test_words_with_dashes_and_dots_are_names_and_tags(name, tag):
    made = node(double, "a", "b", name=name, tags=tag)

    assert made.name == name
    assert made.tags == {tag}


@pytest.mark.parametrize("name", ["a b", "a\n", "ä!", "a/b", 3])
def test_other_characters_in_a_name_are_refused(name):
    with pytest.raises(InvalidNodeError, match="not a valid name") as raised:
        node(double, "a", "b", name=name)

    assert repr(str(name)) in str(raised.value)


def test_all_bad_tags_are_named_at_once():
    with pytest.raises(InvalidNodeError, match="'', 'a b', 'c!'"):
        node(double, "a", "b", tags=["a b", "good", "c!", ""])


def test_an_automatic_name_is_the_functions_name_with_eight_hex_digits():
    made = node(double, "a", "b", namespace="outer.inner")

    prefix, digits = made.name.split("__")
    assert prefix == "outer.inner.double"
    assert len(digits) == 8
    assert int(digits, 16) >= 0


def test_automatic_names_differ_by_function_and_datasets():
    nodes = [node(double, "a", "b"), node(add, "a", "b"), node(double, "c", "b"), node(double, "a", "c")]

    assert len({made.name for made in nodes}) == len(nodes)


def test_an_automatic_name_is_the_same_in_every_process():
    """A resumed run, a worker and a log from yesterday speak of the same node."""
    script = "from penstock.pipeline import node; from json import dumps; print(node(dumps, 'a', 'b').name)"

    printed = {
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }

    assert len(printed) == 1


def test_a_partial_is_named_after_what_it_is_made_of():
    bare = functools.partial(add, right=2)
    named = functools.update_wrapper(functools.partial(add, right=2), add)

    assert node(bare, "a", "b").name.startswith("partial(add)__")
    assert node(functools.partial(named), "a", "b").name.startswith("partial(add)__")
    assert node(named, "a", "b").name == node(bare, "a", "b").name


def test_a_partial_with_a_name_and_what_it_wraps_make_two_nodes_of_one_pipeline():
    """The partial had the other's name."""

    def show(number, digits=1):
        assert round(number, digits)

    shorter = functools.update_wrapper(functools.partial(show, digits=0), show)

    assert len(Pipeline([node(show, "a", None), node(shorter, "a", None)]).nodes) == 2


def test_a_callable_object_is_named_after_its_class():
    made = node(Scaler(), "a", "b")

    assert made.name.startswith("Scaler__")


@pytest.mark.parametrize(
    "func", [str.upper, [].append, len, functools.lru_cache(abs), functools.partial(str.upper), int]
)
def test_everything_that_can_be_called_gets_an_automatic_name(func):
    assert "__" in node(func, "a", "b").name


def test_the_short_name_has_no_namespace_or_is_the_function_in_words():
    def clean_it_up(table):
        return table

    assert node(double, "a", "b", name="n", namespace="q").short_name == "n"
    assert node(clean_it_up, "a", "b").short_name == "Clean It Up"
    assert node(lambda x: x, "a", "b").short_name == "<Lambda>"


def test_a_namespace_is_the_prefix_of_the_name_and_has_prefixes():
    made = node(double, "a", "b", name="n", namespace="one.two.three")

    assert made.name == "one.two.three.n"
    assert made.namespace_prefixes == ["one", "one.two", "one.two.three"]
    assert node(double, "a", "b").namespace_prefixes == []


@pytest.mark.parametrize(
    ("given_confirms", "listed"), [(None, []), ("a", ["a"]), (["a", "c"], ["a", "c"]), ({"a"}, ["a"])]
)
def test_confirms_are_a_list(given_confirms, listed):
    assert node(double, "a", "b", confirms=given_confirms).confirms == listed


def test_tagging_makes_another_node_with_all_tags():
    made = node(double, "a", "b", tags="old")

    tagged = made.tag(["new", "old"])

    assert tagged.tags == {"new", "old"}
    assert made.tags == {"old"}
    assert tagged == made


def test_changing_the_returned_tags_does_not_change_the_node():
    made = node(double, "a", "b", tags="old")

    made.tags.add("new")

    assert made.tags == {"old"}


def test_a_dot_that_looks_like_another_namespace_gives_one_warning_for_each_process():
    script = """
import warnings
from penstock.pipeline import node
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    node(lambda x: x, "params:model.rate", "here.b", namespace="here.inner")
    assert not caught
    node(lambda x: x, "there.a", "b", namespace="here")
    node(lambda x: x, "elsewhere.a", "b")
print(len(caught), caught[0].category.__name__, caught[0].filename, caught[0].message)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert done.stdout.startswith("1 UserWarning <string> ")
    assert "there.a" in done.stdout


# Text.


def test_a_node_as_text_shows_its_name_function_and_datasets():
    assert str(node(add, ["a", "b"], "c", name="n", namespace="q")) == "n: add([a;b]) -> [c]"
    assert str(node(double, "a", None)) == "double([a]) -> None"
    assert str(node(anything, None, ["c", "d"])) == "anything(None) -> [c;d]"


def test_a_nodes_repr_shows_the_forms():
    assert repr(node(add, {"left": "a"}, ["c"], name="n")) == "Node(add, {'left': 'a'}, ['c'], 'n')"


def test_the_text_of_a_nameless_partial_asks_for_a_name():
    made = node(functools.partial(add, right=2), "a", "b")

    with pytest.warns(UserWarning, match="update_wrapper"):
        assert str(made) == "<partial>([a]) -> [b]"
    with pytest.warns(UserWarning, match="update_wrapper"):
        assert made.short_name == "<Partial>"


def test_a_partial_with_a_name_is_shown_by_it():
    named = functools.update_wrapper(functools.partial(add, right=2), add)

    assert str(node(named, "a", "b")) == "add([a]) -> [b]"


# Equality and order.


def test_function_and_tags_do_not_count_for_equality():
    assert node(double, "a", "b", name="n", tags="x") == node(anything, "a", "b", name="n", confirms="c")


def test_a_list_counts_by_order_and_a_mapping_does_not():
    assert node(anything, ["a", "b"], "c", name="n") != node(anything, ["b", "a"], "c", name="n")
    assert node(anything, {"p": "a", "q": "b"}, "c", name="n") == node(
        anything, {"q": "b", "p": "a"}, "c", name="n"
    )
    assert node(anything, "a", "c", name="n") != node(anything, ["a"], "c", name="n")


def test_a_node_is_unequal_to_other_things_and_has_no_order_with_them():
    made = node(double, "a", "b")

    assert made != "double"
    with pytest.raises(TypeError, match="not supported"):
        made < 3  # noqa: B015 - the comparison itself is what is tried


@given(
    st.lists(st.tuples(st.sampled_from("mn"), FORMS, st.sampled_from(["x", ["x"], {"k": "x"}])), max_size=6)
)
def test_nodes_of_all_forms_have_one_order_that_agrees_with_equality(written):
    nodes = [node(anything, inputs, outputs, name=name) for name, inputs, outputs in written]

    for first in nodes:
        for second in nodes:
            assert (first < second) + (second < first) + (first == second) == 1
            assert first != second or hash(first) == hash(second)
    assert [made.name for made in sorted(nodes)] == sorted(made.name for made in nodes)


# Running.


@pytest.mark.parametrize(
    ("inputs", "data"),
    [
        ("a", {"a": 1}),
        (["a", "b"], {"a": 1, "b": 2}),
        ({"right": "b", "left": "a"}, {"a": 1, "b": 2}),
        (None, {}),
    ],
)
def test_each_form_of_inputs_reaches_the_function(inputs, data):
    made = node(lambda left=0, right=0: (left, right), inputs, "out")

    assert made.run(data) == {"out": (data.get("a", 0), data.get("b", 0))}


def test_no_inputs_can_be_given_as_none():
    assert node(lambda: 5, None, "a").run() == {"a": 5}


def test_calling_a_node_runs_it_with_datasets_by_name():
    made = node(double, "a", "b")

    assert made(a=4) == {"b": 8}
    with pytest.raises(TypeError):
        made(4)


@pytest.mark.parametrize("data", [None, {}, {"b": 1}, {"a": 1, "c": 2}, {"a": 1, 3: 2}])
def test_other_inputs_than_declared_are_refused_with_both_sides(data):
    with pytest.raises(NodeDataError) as raised:
        node(double, "a", "b").run(data)

    assert "['a']" in str(raised.value)
    assert str(sorted(map(str, data or ()))) in str(raised.value)


def test_inputs_that_are_no_dict_are_refused():
    with pytest.raises(ValueError, match="list"):
        node(double, "a", "b").run([1])


@pytest.mark.parametrize("result", [1, 0])
def test_a_result_without_an_output_gives_a_warning(result):
    made = node(double, "a", None, name="lost")

    with pytest.warns(UserWarning, match=r"'lost'.*'int'"):
        assert made.run({"a": result}) == {}


def test_no_result_without_an_output_is_fine():
    assert node(lambda _: None, "a", None).run({"a": 1}) == {}


def test_an_error_of_the_function_passes_as_it_is_and_is_logged(caplog):
    error = KeyError("why")

    def fail():
        raise error

    with caplog.at_level(logging.INFO, "penstock.pipeline.node"), pytest.raises(KeyError) as raised:
        node(fail, None, "a", name="broken").run()

    assert raised.value is error
    assert [
        (record.levelname, "broken: fail(None) -> [a]" in record.getMessage()) for record in caplog.records
    ] == [
        ("INFO", True),
        ("ERROR", True),
    ]


def test_logging_a_nameless_partial_does_not_warn(caplog):
    made = node(functools.partial(add, right=2), "a", "b")

    with caplog.at_level(logging.INFO, "penstock.pipeline.node"):
        made.run({"a": 1})

    assert "<partial>([a]) -> [b]" in caplog.text


# What may change, and how it travels.


def test_a_new_function_counts_for_everything_that_was_derived_from_the_old_one():
    made = node(lambda first, second: (first, second), {"second": "S", "first": "F"}, "out")
    before = made.name

    made.func = lambda second, first: (second, first)

    assert made.inputs == ["S", "F"]
    assert made.run({"S": 2, "F": 1}) == {"out": (2, 1)}
    made.func = anything
    assert made.name != before


def test_a_new_function_has_to_take_the_inputs():
    made = node(double, "a", "b")

    with pytest.raises(SignatureError):
        made.func = lambda first, second: None


def test_a_node_keeps_its_name_function_and_datasets_when_it_is_sent():
    made = node(lambda x: x + 1, "a", "b", name="n", tags="t", confirms="a", namespace="s")

    sent = cloudpickle.loads(cloudpickle.dumps(made))

    assert sent == made
    assert (sent.tags, sent.confirms, sent.run({"a": 1})) == ({"t"}, ["a"], {"b": 2})


def test_a_subclass_of_node_stays_one_when_it_is_tagged():
    class Special(Node):
        pass

    assert type(Special(double, "a", "b").tag("t")) is Special


def test_a_preview_is_accepted():
    with warnings.catch_warnings():
        assert node(double, "a", "b", preview_fn=str).name.startswith("double")


def two(a, b, *rest):
    return {"x": a, "y": b}


@pytest.mark.parametrize(
    "made",
    [
        node(
            two, {"b": "left", "a": "right"}, {"x": "one"}, name="n", tags=["z", "y"], namespace="north.sea"
        ),
        node(two, ["a", "b", "a"], None, confirms=["a", "other"]),
        node(two, ["a@pandas", "params:b"], ["c", "d"], tags="t"),
        node(len, "a", "b", name="count"),
        node(functools.partial(two, 1), "b", {"x": "one", "y": "two"}, name="partial"),
    ],
    ids=repr,
)
def test_a_pickled_node_keeps_all_its_parts(made):
    """It travels without what can be derived, and every part of it has to be there again."""
    arrived = cloudpickle.loads(cloudpickle.dumps(made))

    assert arrived.name == made.name
    assert {**vars(arrived), "_func": None} == {**vars(made), "_func": None}
    assert repr(arrived) == repr(made)


def test_a_node_of_a_class_of_ones_own_travels_with_all_its_attributes():
    class Labelled(Node):
        pass

    made = Labelled(len, "a", "b", name="count")
    made.label = "mine"

    arrived = cloudpickle.loads(cloudpickle.dumps(made))

    assert (type(arrived).__name__, arrived.label, arrived.run({"a": "xyz"})) == (
        "Labelled",
        "mine",
        {"b": 3},
    )


def test_a_function_that_does_not_take_the_inputs_leaves_the_node_as_it_was():
    made = node(two, ["a", "b"], "c", name="n")

    with pytest.raises(SignatureError):
        made.func = lambda z: z

    assert made.func is two


def test_only_what_can_be_called_is_made_the_function_of_a_node():
    made = node(double, ["a"], "b")

    with pytest.raises(InvalidNodeError, match="int"):
        made.func = 5

    assert made.func is double


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"tags": 3}, "tag must be a text or a list of texts, but the type is: 'int'"),
        ({"namespace": 3}, "namespace must be a text, but the type is: 'int'"),
    ],
)
def test_a_tag_or_namespace_of_another_type_is_refused_by_name(arguments, problem):
    with pytest.raises(InvalidNodeError, match=problem):
        node(max, "a", "b", name="best", **arguments)
