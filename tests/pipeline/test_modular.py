from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidNodeError, OutputNotUniqueError, PipelineError
from penstock.pipeline import Pipeline, node, pipeline
from tests.pipeline.strategies import anything, names, pipelines

pytestmark = pytest.mark.smoke


@pytest.fixture
def whole():
    return pipeline(
        [
            node(
                anything,
                ["raw", "params:rate", "parameters"],
                "clean@w",
                name="one",
                confirms=["raw", "done"],
            ),
            node(
                anything,
                {"k": "clean@r", "l": "params:model.depth"},
                {"z": "model"},
                name="two",
                namespace="in",
                confirms="model",
            ),
            node(anything, "model", None, name="three"),
        ]
    )


def datasets_as_written(part, name):
    """The node's inputs, outputs and confirms as they are written."""
    made = next(node for node in part.nodes if node.name == name)
    return made._inputs, made._outputs, made._confirms


# Laws.


@given(pipelines(), st.sampled_from(["n", "n.m"]))
def test_a_namespace_renames_one_to_one_and_keeps_the_links(whole, namespace):
    inside = pipeline(whole, namespace=namespace)

    assert [f"{namespace}.{name}" for name in names(whole)] == [node.name for node in inside.nodes]
    assert len(inside.datasets()) == len(whole.datasets())
    for before, after in zip(whole.nodes, inside.nodes, strict=True):
        assert {parent.name for parent in inside.node_dependencies[after]} == {
            f"{namespace}.{parent.name}" for parent in whole.node_dependencies[before]
        }
        assert after.tags == before.tags


@given(pipelines(), st.data())
def test_a_one_to_one_mapping_can_be_reversed(whole, data):
    free = sorted(name.partition("@")[0] for name in whole.inputs() if not name.startswith("param"))
    made = sorted({name.partition("@")[0] for name in whole.all_outputs()})
    inputs = {name: f"new_{name}" for name in free if data.draw(st.booleans())}
    outputs = {name: f"new_{name}" for name in made if data.draw(st.booleans())}

    there = pipeline(whole, inputs=inputs, outputs=outputs)
    back = pipeline(
        there,
        inputs={new: old for old, new in inputs.items()},
        outputs={new: old for old, new in outputs.items()},
    )

    assert back.nodes == whole.nodes
    assert len(there.datasets()) == len(whole.datasets())


# What names become.


def test_a_namespace_is_the_prefix_of_all_names_except_parameters(whole):
    inside = pipeline(whole, namespace="ns")

    assert datasets_as_written(inside, "ns.one") == (
        ["ns.raw", "params:ns.rate", "parameters"],
        "ns.clean@w",
        ["ns.raw", "ns.done"],
    )
    assert datasets_as_written(inside, "ns.in.two") == (
        {"k": "ns.clean@r", "l": "params:ns.model.depth"},
        {"z": "ns.model"},
        "ns.model",
    )
    assert datasets_as_written(inside, "ns.three") == ("ns.model", None, None)
    assert [node.namespace for node in inside.nodes] == ["ns", "ns.in", "ns"]


def test_datasets_can_stay_while_nodes_move_into_a_namespace(whole):
    inside = pipeline(whole, namespace="ns", prefix_datasets_with_namespace=False)

    assert names(inside) == ["ns.one", "ns.in.two", "ns.three"]
    assert inside.datasets() == whole.datasets()


@pytest.mark.parametrize("kept", ["raw", {"raw"}, ["raw"], {"raw": "raw"}])
def test_listed_names_are_kept_in_spite_of_a_namespace(whole, kept):
    inside = pipeline(whole, inputs=kept, namespace="ns")

    assert datasets_as_written(inside, "ns.one")[0] == ["raw", "params:ns.rate", "parameters"]
    assert datasets_as_written(inside, "ns.one")[2] == ["raw", "ns.done"]


def test_a_base_name_is_mapped_in_all_its_formats(whole):
    mapped = pipeline(whole, outputs={"clean": "tidy"}, namespace="ns")

    assert mapped.datasets() >= {"tidy@w", "tidy@r"}


def test_a_name_with_a_format_is_mapped_without_the_other_formats():
    """One catalog entry is renamed, and the dataset becomes two datasets."""
    parts = pipeline([node(anything, "a@csv", "b", name="one"), node(anything, "a@table", "c", name="two")])

    mapped = pipeline(parts, inputs={"a@csv": "z@csv"}, namespace="ns")

    assert mapped.inputs() == {"z@csv", "ns.a@table"}


def test_a_name_with_a_format_has_precedence_over_the_base_name():
    parts = pipeline([node(anything, "a@csv", "b", name="one"), node(anything, "a@table", "c", name="two")])

    mapped = pipeline(parts, inputs={"a@csv": "y@csv", "a": "z"})

    assert mapped.inputs() == {"y@csv", "z@table"}


@pytest.mark.parametrize(
    "mapping",
    [{"rate": "speed"}, {"params:rate": "speed"}, {"rate": "params:speed"}, {"params:rate": "params:speed"}],
)
def test_the_prefix_of_parameters_may_be_left_out(whole, mapping):
    mapped = pipeline(whole, parameters=mapping, namespace="ns")

    assert datasets_as_written(mapped, "ns.one")[0] == ["ns.raw", "params:speed", "parameters"]


def test_all_parameters_together_are_never_renamed(whole):
    mapped = pipeline(whole, parameters={"parameters": "others", "rate": "speed"}, namespace="ns")

    assert datasets_as_written(mapped, "ns.one")[0] == ["ns.raw", "params:speed", "parameters"]


def test_one_parameter_may_get_the_name_of_all_of_them(whole):
    """As in Kedro: the parameter `parameters` is not the dataset of all parameters."""
    mapped = pipeline(whole, parameters={"rate": "parameters"})

    assert datasets_as_written(mapped, "one")[0] == ["raw", "params:parameters", "parameters"]


def test_intermediate_datasets_may_stand_among_outputs(whole):
    mapped = pipeline(whole, outputs={"clean@w": "kept@w", "clean@r": "kept@r"}, namespace="ns")

    assert mapped.datasets() >= {"kept@w", "kept@r"}


def test_namespaces_are_nested_from_the_inside_out():
    inner = pipeline([node(anything, "a", "b", name="n")], namespace="in", inputs="a")

    outer = pipeline([inner], namespace="out")

    assert datasets_as_written(outer, "out.in.n") == ("out.a", "out.in.b", None)


def test_the_source_is_not_changed_and_the_rest_of_a_node_is_kept():
    def func(a):
        return a

    source = pipeline([node(func, "a", "b", name="n", tags="t")])

    made = Pipeline(source, inputs={"a": "z"}, tags="u").nodes[0]

    assert (made.func, made.name, made.tags, made.run({"z": 1})) == (func, "n", {"t", "u"}, {"b": 1})
    assert source.nodes[0].inputs == ["a"]
    assert source.nodes[0].tags == {"t"}


def test_the_order_of_dict_inputs_is_kept():
    source = pipeline([node(lambda x, y: (x, y), {"y": "b", "x": "a"}, "c", name="n")])

    made = pipeline(source, namespace="ns").nodes[0]

    assert made.inputs == ["ns.a", "ns.b"]
    assert made.run({"ns.a": 1, "ns.b": 2}) == {"ns.c": (1, 2)}


def test_an_automatic_name_follows_the_new_datasets():
    source = pipeline([node(anything, "a", "b")])

    mapped = pipeline(source, inputs={"a": "c"})

    assert names(mapped) == [node(anything, "c", "b").name]


# What does not fit.


def test_unknown_names_are_reported_sorted_with_similar_names_and_no_others(whole):
    with pytest.raises(PipelineError) as raised:
        pipeline(whole, inputs={"raww": "x"}, outputs="mdel", parameters={"zzz": "y"})

    assert raised.value.names == ["mdel", "params:zzz", "raww"]
    assert "'mdel', 'params:zzz', 'raww'" in str(raised.value)
    meant = str(raised.value).partition("Did you mean ")[2].rstrip("?").split(", ")
    assert {"raw", "model", "params:rate"} >= set(meant) - {"parameters", "params:model.depth"}
    assert {"raw", "model"} <= set(meant)
    assert "clean" not in str(raised.value)


@pytest.mark.parametrize("mapping", ["parameters", {"parameters": "x"}, {"parameters": "x", "rate": "speed"}])
def test_parameters_as_a_whole_are_unknown_where_no_node_takes_them(mapping):
    """Kedro refuses it as well: the mapping has no effect."""
    with pytest.raises(PipelineError) as raised:
        pipeline([node(anything, ["a", "params:rate"], "b", name="one")], parameters=mapping)

    assert raised.value.names == ["parameters"]


def test_a_format_that_is_not_used_is_unknown(whole):
    with pytest.raises(PipelineError, match="clean@x"):
        pipeline(whole, outputs={"clean@x": "tidy@x"})


def test_what_is_only_confirmed_is_unknown(whole):
    with pytest.raises(PipelineError, match="done"):
        pipeline(whole, inputs="done")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"inputs": ["params:rate", "parameters"]}, "'parameters', 'params:rate'"),
        ({"inputs": "clean@r"}, "'clean@r'"),
        ({"inputs": {"model": "x"}}, "'model'"),
        ({"outputs": {"raw": "x"}}, "'raw'"),
        ({"outputs": "params:rate"}, "'params:rate'"),
    ],
)
def test_names_under_the_wrong_argument_are_reported(whole, arguments, problem):
    with pytest.raises(PipelineError, match=problem):
        pipeline(whole, **arguments)


def test_two_datasets_cannot_be_mapped_to_one_name_where_that_makes_no_pipeline():
    nodes = [node(anything, "a", ["b", "c"], name="one"), node(anything, "b", "d", name="two")]

    with pytest.raises(OutputNotUniqueError, match="'one', 'two'"):
        pipeline(nodes, outputs={"d": "c"})
    with pytest.raises(InvalidNodeError, match="'x'"):
        pipeline(nodes, outputs={"b": "x", "c": "x"})
    with pytest.raises(InvalidNodeError, match="'x'"):
        pipeline(nodes, inputs={"a": "x"}, outputs={"c": "x"})
