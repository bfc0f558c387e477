from __future__ import annotations

import json

import pytest
from hypothesis import given

import penstock
from penstock.pipeline import node, pipeline
from tests.pipeline.strategies import anything, names, pipelines

pytestmark = pytest.mark.smoke


def test_a_description_shows_inputs_nodes_and_outputs():
    whole = pipeline(
        [
            node(anything, ["b", "z", "a@x"], "c", name="two", namespace="n"),
            node(anything, None, "b", name="one"),
        ]
    )

    assert whole.describe() == (
        "#### Pipeline execution order ####\n"
        "Inputs: a@x, z\n"
        "\n"
        "one\n"
        "n.two\n"
        "\n"
        "Outputs: c\n"
        "##################################"
    )
    assert "\ntwo: anything([b;z;a@x]) -> [c]\n" in whole.describe(names_only=False)


def test_an_empty_description_says_none():
    lines = pipeline([]).describe().splitlines()

    assert lines[1:-1] == ["Inputs: None", "", "", "", "Outputs: None"]


def test_json_carries_the_version_and_what_the_nodes_are():
    whole = pipeline([node(anything, {"x": "a"}, ["b"], name="one", namespace="n", tags=["t", "s"])])

    assert json.loads(whole.to_json()) == {
        "kedro_version": "1.7.0",
        "penstock_version": penstock.__version__,
        "pipeline": [{"name": "n.one", "inputs": ["a"], "outputs": ["b"], "tags": ["s", "t"]}],
    }


@given(pipelines())
def test_json_names_every_node_with_its_datasets(whole):
    described = json.loads(whole.to_json())["pipeline"]

    assert [each["name"] for each in described] == names(whole)
    assert [(each["inputs"], each["outputs"]) for each in described] == [
        (node.inputs, node.outputs) for node in whole.nodes
    ]
