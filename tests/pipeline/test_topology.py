from __future__ import annotations

import time

import pytest
from hypothesis import given

from penstock.errors import CircularDependencyError, PipelineError
from penstock.pipeline import Pipeline, node, pipeline
from tests.pipeline.strategies import anything, names, node_lists, pipelines


@given(pipelines())
def test_every_node_comes_one_layer_after_the_last_of_its_parents(whole):
    place = {node: number for number, layer in enumerate(whole.grouped_nodes) for node in layer}

    for found, parents in whole.node_dependencies.items():
        assert place[found] == 1 + max((place[parent] for parent in parents), default=-1)


@given(pipelines())
def test_layers_are_sorted_by_name_and_make_up_the_order(whole):
    layers = whole.grouped_nodes

    assert all(layer == sorted(layer) for layer in layers)
    assert [node for layer in layers for node in layer] == whole.nodes


@given(node_lists())
def test_the_order_in_which_nodes_are_given_does_not_matter(nodes):
    assert names(pipeline(nodes)) == names(pipeline(reversed(nodes)))


@given(pipelines())
def test_the_parents_of_a_node_are_those_that_produce_its_inputs(whole):
    for found, parents in whole.node_dependencies.items():
        taken = {name.partition("@")[0] for name in found.inputs}
        assert parents == {
            other for other in whole.nodes if taken & {name.partition("@")[0] for name in other.outputs}
        }


def test_a_cycle_is_shown_as_a_path_with_arrows():
    nodes = [
        node(anything, ["a", "x"], "b", name="one"),
        node(anything, "b", "c@csv", name="two"),
        node(anything, "c@table", "a", name="three"),
        node(anything, "c@table", "end", name="behind"),
        node(anything, None, "x", name="before"),
    ]

    with pytest.raises(CircularDependencyError, match="one -> two -> three -> one") as raised:
        pipeline(nodes)

    assert isinstance(raised.value, PipelineError)
    assert raised.value.path == ["one", "two", "three", "one"]


def chain(length):
    return [node(anything, f"d{place}", f"d{place + 1}", name=f"n{place}") for place in range(length)]


def seconds_to_order(length):
    nodes = chain(length)
    start = time.process_time()
    assert len(pipeline(nodes).nodes) == length
    return time.process_time() - start


@pytest.mark.apart
@pytest.mark.newest
def test_a_pipeline_of_50000_nodes_is_built_and_ordered_in_seconds():
    """A scan over pairs of nodes would take an hour, and recursion would end at the first thousand."""
    start = time.process_time()

    whole = pipeline(chain(50_000))

    assert whole.nodes[-1].name == "n49999"
    assert time.process_time() - start < 20


@pytest.mark.apart
@pytest.mark.newest
def test_ordering_takes_time_in_proportion_to_the_nodes():
    seconds_to_order(2_000)
    small = min(seconds_to_order(2_000) for _ in range(3))

    assert seconds_to_order(20_000) < 10 * 8 * small


def test_a_long_chain_can_be_selected_from_renamed_and_described():
    whole = pipeline(chain(10_000))

    assert len(whole.from_nodes("n1").nodes) == 9_999
    assert len(whole.to_outputs("d9000").nodes) == 9_000
    assert len((whole - whole.to_nodes("n5000")).nodes) == 4_999
    assert isinstance(pipeline(whole, namespace="deep"), Pipeline)
    assert whole.describe().count("\n") == 10_005


def test_a_long_cycle_is_found():
    nodes = [*chain(10_000), node(anything, "d10000", "d0", name="back")]

    with pytest.raises(CircularDependencyError) as raised:
        pipeline(nodes)

    assert len(raised.value.path) == 10_002
