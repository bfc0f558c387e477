from __future__ import annotations

import pickle
from functools import reduce
from operator import add

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock.pipeline.pipeline  # noqa: F401 - that this module can be imported is what is tried
from penstock.errors import InvalidPipelineError, OutputNotUniqueError
from penstock.pipeline import GroupedNodes, Pipeline, node, pipeline
from penstock.pipeline.pipeline import (
    CircularDependencyError,
    ConfirmNotUniqueError,
    PipelineError,
)
from tests.pipeline.strategies import anything, names, node_lists, pipelines, pipelines_with_nodes

pytestmark = pytest.mark.smoke


def test_the_package_gives_the_function_and_the_module_of_the_same_name_gives_errors():
    assert callable(pipeline)
    assert issubclass(CircularDependencyError, PipelineError)
    assert issubclass(ConfirmNotUniqueError, PipelineError)
    assert GroupedNodes("a", "nodes").dependencies == []


# Construction.


@pytest.mark.parametrize("nodes", [None, 3, "abc", [1], [None], node(anything, "a", "b")])
def test_other_things_than_nodes_and_pipelines_are_refused(nodes):
    with pytest.raises(InvalidPipelineError, match=r"nodes must be a list|nodes has an item"):
        pipeline(nodes)


def test_an_empty_pipeline_is_valid():
    empty = pipeline([])

    assert (empty.nodes, empty.grouped_nodes, dict(empty.node_dependencies)) == ([], [], {})
    assert (empty.inputs(), empty.outputs(), empty.datasets()) == (set(), set(), set())


def test_nodes_come_from_any_iterable_and_from_pipelines_in_it():
    part = pipeline([node(anything, "b", "c", name="two")])

    whole = pipeline(each for each in (part, node(anything, "a", "b", name="one")))

    assert names(whole) == ["one", "two"]


def test_the_function_always_makes_another_pipeline():
    whole = pipeline([node(anything, "a", "b", name="one")])

    assert pipeline(whole) is not whole
    assert names(Pipeline(whole)) == ["one"]


def test_tags_of_a_pipeline_are_added_to_every_node():
    nodes = [node(anything, "a", "b", name="one", tags="own"), node(anything, "b", "c", name="two")]

    whole = pipeline(nodes, tags=["new"])

    assert [each.tags for each in whole.nodes] == [{"own", "new"}, {"new"}]
    assert nodes[1].tags == set()
    assert [each.tags for each in whole.tag("more").nodes] == [{"own", "new", "more"}, {"new", "more"}]


def test_changing_returned_lists_does_not_change_the_pipeline():
    whole = pipeline([node(anything, "a", "b", name="one")])

    whole.nodes.clear()
    whole.grouped_nodes.clear()
    with pytest.raises(TypeError):
        whole.node_dependencies[None] = set()

    assert names(whole) == ["one"]
    assert len(whole.grouped_nodes) == 1


# Datasets.


@given(pipelines())
def test_free_inputs_and_outputs_are_what_is_only_taken_and_only_given(whole):
    taken = {name.partition("@")[0] for name in whole.all_inputs()}
    given_bases = {name.partition("@")[0] for name in whole.all_outputs()}

    assert whole.inputs() == {
        name for name in whole.all_inputs() if name.partition("@")[0] not in given_bases
    }
    assert whole.outputs() == {name for name in whole.all_outputs() if name.partition("@")[0] not in taken}
    assert whole.datasets() == whole.all_inputs() | whole.all_outputs()


# Algebra.


@given(node_lists(), st.data())
def test_pipelines_follow_the_laws_of_sets(nodes, data):
    first, second = (pipeline(node for node in nodes if data.draw(st.booleans())) for _ in range(2))

    def members(part):
        return set(names(part))

    assert members(first + second) == members(first | second) == members(first) | members(second)
    assert members(first & second) == members(first) & members(second)
    assert members(first - second) == members(first) - members(second)
    assert names(first + second) == names(second + first)
    assert names((first - second) | (first & second)) == names(first)


@given(node_lists())
def test_the_sum_of_its_nodes_is_the_pipeline(nodes):
    parts = [pipeline([node]) for node in nodes]

    assert names(reduce(add, parts, pipeline([]))) == names(pipeline(nodes))
    assert not parts or names(sum(parts)) == names(pipeline(nodes))


def test_nothing_but_zero_and_pipelines_can_be_added():
    whole = pipeline([node(anything, "a", "b")])

    assert 0 + whole is whole
    for other in (1, [], None, whole.nodes[0]):
        for operation in ("__add__", "__or__", "__sub__", "__and__"):
            with pytest.raises(TypeError):
                _operate(whole, operation, other)
    with pytest.raises(TypeError):
        3 + whole
    with pytest.raises(TypeError):
        whole + 0


def _operate(whole, operation, other):
    if getattr(whole, operation)(other) is NotImplemented:
        raise TypeError


def test_a_union_is_checked_like_any_pipeline():
    one, other = pipeline([node(anything, "a", "b", name="one")]), node(anything, "c", "b", name="other")

    with pytest.raises(OutputNotUniqueError, match="'one', 'other'"):
        one + pipeline([other])
    with pytest.raises(InvalidPipelineError, match="one"):
        one + pipeline([node(anything, "c", "d", name="one")])


def test_a_node_with_the_name_of_another_is_not_that_node():
    whole = pipeline([node(anything, "a", "b", name="one")])
    namesake = pipeline([node(anything, "a", "c", name="one")])

    assert names(whole - namesake) == ["one"]
    assert names(whole & namesake) == []


# Sending.


@given(pipelines_with_nodes())
def test_a_pickled_pipeline_keeps_all_its_nodes(drawn):
    whole, chosen = drawn
    part = whole.from_nodes(*chosen)
    _ = part.node_dependencies

    for packer in (pickle, cloudpickle):
        sent = packer.loads(packer.dumps(part))
        assert sent.nodes == part.nodes
        assert sent.node_dependencies == part.node_dependencies


def test_a_long_chain_can_be_sent():
    nodes = [node(anything, f"d{place}", f"d{place + 1}", name=f"n{place}") for place in range(5_000)]

    assert names(pickle.loads(pickle.dumps(pipeline(nodes))))[-1] == "n4999"


# Text.


def test_the_repr_shows_the_first_ten_nodes():
    whole = pipeline([node(anything, "a", None, name=f"n{place:02}") for place in range(11)])

    shown = repr(whole).splitlines()

    assert shown[0] == "Pipeline(["
    assert shown[1] == "Node(anything, 'a', None, 'n00'),"
    assert shown[-2:] == ["...", "])"]
    assert len(shown) == 13
    assert "..." not in repr(whole.only_nodes("n03", "n04"))
