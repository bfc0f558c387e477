from __future__ import annotations

import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import SelectionError
from penstock.pipeline import GroupedNodes, node, pipeline
from tests.pipeline.strategies import anything, names, pipelines

pytestmark = pytest.mark.smoke


def row(*namespaces):
    """A chain of nodes n0, n1 ... in these namespaces."""
    return [
        node(anything, f"d{place}", f"d{place + 1}", name=f"n{place}", namespace=namespace)
        for place, namespace in enumerate(namespaces)
    ]


def warned(nodes):
    """The texts of the warnings of making a pipeline."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline(nodes)
    assert all(warning.category is UserWarning and warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


# Interrupted namespaces.


@pytest.mark.parametrize(
    "namespaces",
    [
        [None, None, None],
        ["a", "a", "b", "b", None],
        ["a", "a.b", "a"],
        ["a", "a.b.c", "a.b", "a"],
        ["b", "a", "c"],
        ["ab", "a", "abc"],
    ],
)
def test_a_namespace_without_interruption_gives_no_warning(namespaces):
    assert warned(row(*namespaces)) == []


@pytest.mark.parametrize(
    ("namespaces", "interrupted", "between"),
    [
        (["a", None, "a"], "'a'", "['n1']"),
        (["a", "b", "c", "a"], "'a'", "['b.n1', 'c.n2']"),
        (["a.b", "c", "a"], "'a'", "['c.n1']"),
        (["a", "c", "a.b"], "'a'", "['c.n1']"),
        (["a.b", "a", "a.b"], "'a.b'", "['a.n1']"),
        (["a.b", "a.c", "a.b"], "'a.b'", "['a.c.n1']"),
        (["a.b", "c", "a.b"], "'a'", "['c.n1']"),
    ],
)
def test_a_namespace_that_is_interrupted_is_reported_with_the_nodes_between(namespaces, interrupted, between):
    (text,) = warned(row(*namespaces))

    assert f"namespace {interrupted} is interrupted" in text
    assert between in text


def test_each_link_that_enters_a_namespace_again_is_reported():
    texts = warned([*row("a", None, "a", None, "a"), node(anything, "d2", "e", name="side", namespace="a")])

    assert len(texts) == 3
    assert sorted(
        text.partition("depends on the nodes ")[2].split(" outside of it")[0] for text in texts
    ) == [
        "['n1']",
        "['n1']",
        "['n3']",
    ]


def test_parallel_branches_give_no_warning():
    branches = [
        node(anything, "d1", "e", name="aside"),
        node(anything, "d1", "f", name="back", namespace="b"),
    ]

    assert warned([*row("a", "a"), *branches, node(anything, ["e", "f"], "g", name="end")]) == []


@given(pipelines(8), st.data())
def test_the_warnings_are_those_that_a_walk_over_all_paths_finds(whole, data):
    spaces = {name: data.draw(st.sampled_from([None, "a", "a.b", "c"])) for name in names(whole)}
    nodes = [each._copy(_namespace=spaces[each.name], _name=None) for each in whole.nodes]
    placed = pipeline_without_warnings(nodes)

    def around(each):
        return set(each.namespace_prefixes)

    def upstream(each):
        parents = placed.node_dependencies[each]
        return {each}.union(*(upstream(parent) for parent in parents))

    links = [(parent, child) for child, parents in placed.node_dependencies.items() for parent in parents]
    expected = [
        (parent, child)
        for parent, child in links
        if any(
            space not in around(parent) and any(space in around(old) for old in upstream(parent))
            for space in around(child)
        )
    ]

    assert len(warned(nodes)) == len(expected)


def pipeline_without_warnings(nodes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline(nodes)


@pytest.mark.parametrize("spaces", [["a", "b"], ["a", "a.b", "a.c"], [f"s{number}" for number in range(20)]])
def test_a_grid_with_an_exponential_number_of_paths_is_checked_at_once(spaces):
    """20 layers of 30 nodes, each linked with all of the layer before, have 30 to the power of 20 paths."""
    nodes = [
        node(
            anything,
            [f"d{layer - 1}_{other}" for other in range(30)] if layer else "raw",
            f"d{layer}_{place}",
            name=f"n{layer}_{place}",
            namespace=spaces[layer % len(spaces)],
        )
        for layer in range(20)
        for place in range(30)
    ]
    start = time.process_time()

    texts = warned(nodes)

    assert time.process_time() - start < 10
    assert bool(texts) == (len(spaces) < 20)


# Groups.


@pytest.fixture
def grouped():
    return pipeline(
        [
            node(anything, "a", "b", name="one", namespace="x.y"),
            node(anything, "b", "c", name="two", namespace="x"),
            node(anything, ["b", "c"], "d", name="free"),
            node(anything, ["d", "b"], "e", name="three", namespace="z"),
        ]
    )


def test_nodes_are_grouped_by_their_top_level_namespace(grouped):
    assert grouped.group_nodes_by() == [
        GroupedNodes("x", "namespace", ["x.y.one", "x.two"], []),
        GroupedNodes("free", "nodes", ["free"], ["x"]),
        GroupedNodes("z", "namespace", ["z.three"], ["free", "x"]),
    ]


@pytest.mark.parametrize("way", [None, "none"])
def test_nodes_can_be_groups_of_their_own(grouped, way):
    groups = grouped.group_nodes_by(way)

    assert [group.name for group in groups] == names(grouped)
    assert groups[2] == GroupedNodes("free", "nodes", ["free"], ["x.y.one", "x.two"])


@pytest.mark.parametrize("way", ["tags", "", 3])
def test_another_way_of_grouping_is_refused(grouped, way):
    with pytest.raises(SelectionError, match="'namespace', 'none'") as raised:
        grouped.group_nodes_by(way)

    assert isinstance(raised.value, ValueError)


@given(pipelines())
def test_every_node_is_in_one_group(whole):
    groups = whole.group_nodes_by("namespace")

    assert [name for group in groups for name in group.nodes] == names(whole)
    assert all(group.name not in group.dependencies for group in groups)
