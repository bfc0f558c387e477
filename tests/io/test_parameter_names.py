"""`parameters`: nested values under the names by which nodes read them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import penstock


@dataclass
class Model:
    alpha: float
    kind: type = int


def test_each_value_has_the_name_by_which_nodes_read_it():
    given = {"share": 0.5, "model": {"alpha": 1, "tree": {"depth": 3}}}

    assert penstock.parameters(given) == {
        "parameters": given,
        "params:share": 0.5,
        "params:model": given["model"],
        "params:model.alpha": 1,
        "params:model.tree": {"depth": 3},
        "params:model.tree.depth": 3,
    }


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, []),
        ({"empty": {}}, ["empty"]),
        ({1: {None: 2}}, ["1", "1.None"]),
        ({"a.b": {"c": 1}}, ["a.b", "a.b.c"]),
        ({"list": [{"a": 1}]}, ["list"]),
        ({"model": Model(0.5)}, ["model", "model.alpha", "model.kind"]),
        ({"class": Model}, ["class"]),
    ],
)
def test_what_is_taken_apart(given, names):
    assert list(penstock.parameters(given)) == ["parameters", *(f"params:{name}" for name in names)]


def test_a_catalog_takes_them_beside_datasets_and_nodes_read_them():
    nodes = [
        penstock.node(lambda x, alpha: x * alpha, ["x", "params:model.alpha"], "y", name="scale"),
        penstock.node(sorted, "parameters", "names", name="list"),
    ]
    catalog = penstock.DataCatalog({"x": 3, **penstock.parameters({"model": {"alpha": 2}, "seed": 1})})

    result = penstock.run(penstock.Pipeline(nodes), catalog)

    assert result["y"].load() == 6
    assert result["names"].load() == ["model", "seed"]


@pytest.mark.parametrize("given", [None, ["model"], "model", Model(1)])
def test_what_is_no_mapping_is_refused(given):
    with pytest.raises(TypeError, match=f"parameters are a {type(given).__name__}; give a dict"):
        penstock.parameters(given)
