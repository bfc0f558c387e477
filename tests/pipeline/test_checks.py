from __future__ import annotations

import pytest

from penstock.errors import ConfirmNotUniqueError, InvalidPipelineError, OutputNotUniqueError
from penstock.pipeline import node, pipeline
from tests.pipeline.strategies import anything

pytestmark = pytest.mark.smoke


def test_names_that_appear_twice_are_reported_with_their_sources():
    one, two = node(anything, "a", "b", name="one"), node(anything, "b", "c", name="two")
    part = pipeline([one, two])

    with pytest.raises(InvalidPipelineError) as raised:
        pipeline([one, part, node(anything, "x", "y", name="fine")])

    assert isinstance(raised.value, ValueError)
    assert "one (listed by itself and in a pipeline of 2 nodes)" in str(raised.value)
    assert "two" not in str(raised.value)
    assert "fine" not in str(raised.value)


@pytest.mark.parametrize("doubled", ["node", "pipeline"])
def test_a_node_or_pipeline_that_is_listed_twice_is_a_duplicate(doubled):
    free = node(anything, "a", "b", name="one")
    part = free if doubled == "node" else pipeline([free])

    with pytest.raises(InvalidPipelineError, match="one"):
        pipeline([part, part])


def test_two_producers_are_reported_with_the_dataset_and_the_nodes():
    nodes = [
        node(anything, "a", ["z", "b@csv"], name="one"),
        node(anything, "a", "b@table", name="two"),
        node(anything, "b@table", ["z"], name="three"),
    ]

    with pytest.raises(OutputNotUniqueError) as raised:
        pipeline(nodes)

    assert raised.value.producers == {"b": ["one", "two"], "z": ["one", "three"]}
    for part in ("['b', 'z']", "'b' by 'one', 'two'", "'z' by 'one', 'three'"):
        assert part in str(raised.value)


def test_two_formats_of_one_output_are_two_producers():
    with pytest.raises(OutputNotUniqueError, match="'b'"):
        pipeline([node(anything, "a", ["b@csv", "b@table"])])


def test_two_nodes_that_confirm_one_dataset_are_reported():
    nodes = [
        node(anything, "a", "b", name="one", confirms=["z@x", "y"]),
        node(anything, "a", "c", name="two", confirms=["y", "z@w"]),
    ]

    with pytest.raises(ConfirmNotUniqueError) as raised:
        pipeline(nodes)

    assert "['y', 'z']" in str(raised.value)
    assert raised.value.confirmers == {"y": ["one", "two"], "z": ["one", "two"]}
