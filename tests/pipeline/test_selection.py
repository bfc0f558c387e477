from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import SelectionError
from penstock.pipeline import node, pipeline
from tests.pipeline.strategies import anything, names, pipelines, pipelines_with_nodes

pytestmark = pytest.mark.smoke


@pytest.fixture
def whole():
    """Two branches from `a`: `x.y.clean` -> `x.train` -> `report`, and `k.load` -> `k.l.one`, `kk.two`."""
    return pipeline(
        [
            node(anything, "a", "b", name="clean", namespace="x.y", tags="red"),
            node(anything, "b", "c@w", name="train", namespace="x"),
            node(anything, "c@r", "d", name="report", tags=["red", "blue"]),
            node(anything, "a", "f@w", name="load", namespace="k"),
            node(anything, "f@r", "g", name="one", namespace="k.l"),
            node(anything, "f@s", "h", name="two", namespace="kk"),
        ]
    )


# Laws.


def reached(start, links):
    found = set(start)
    while more := {other for name in found for other in links[name]} - found:
        found |= more
    return found


@given(pipelines_with_nodes())
def test_from_nodes_is_all_that_comes_after_and_to_nodes_all_that_comes_before(drawn):
    whole, chosen = drawn
    parents = {
        child.name: {parent.name for parent in found} for child, found in whole.node_dependencies.items()
    }
    children = {name: {child for child in parents if name in parents[child]} for name in parents}

    assert set(names(whole.from_nodes(*chosen))) == reached(chosen, children)
    assert set(names(whole.to_nodes(*chosen))) == reached(chosen, parents)


@given(pipelines(), st.data())
def test_from_inputs_starts_at_consumers_and_to_outputs_at_producers(whole, data):
    datasets = sorted(whole.datasets())
    chosen = data.draw(st.lists(st.sampled_from(datasets), max_size=3)) if datasets else []

    consumers = {node.name for node in whole.nodes if set(chosen) & set(node.inputs)}
    producers = {node.name for node in whole.nodes if set(chosen) & set(node.outputs)}

    assert set(names(whole.only_nodes_with_inputs(*chosen))) == consumers
    assert set(names(whole.only_nodes_with_outputs(*chosen))) == producers
    assert names(whole.from_inputs(*chosen)) == names(whole.from_nodes(*consumers))
    assert names(whole.to_outputs(*chosen)) == names(whole.to_nodes(*producers))


@pytest.mark.filterwarnings("ignore:no node has the tag")
@given(pipelines_with_nodes(), st.sets(st.sampled_from(["red", "blue"])))
def test_a_filter_is_the_intersection_of_its_selections(drawn, tags):
    whole, chosen = drawn
    parts = [whole.only_nodes_with_tags(*tags)] if tags else []
    parts += [whole.from_nodes(*chosen), whole.to_nodes(*chosen)] if chosen else []
    expected = set(names(whole)).intersection(*map(names, parts))

    if expected:
        assert set(names(whole.filter(tags=tags, from_nodes=chosen, to_nodes=chosen))) == expected
    else:
        with pytest.raises(SelectionError):
            whole.filter(tags=tags, from_nodes=chosen, to_nodes=chosen)


@given(pipelines_with_nodes())
def test_a_part_is_ordered_like_a_pipeline_of_its_nodes(drawn):
    """A part is not checked again, but its layers are its own."""
    whole, chosen = drawn
    part = whole.only_nodes(*chosen)

    anew = pipeline(part.nodes)

    assert part.grouped_nodes == anew.grouped_nodes
    assert part.node_dependencies == anew.node_dependencies
    assert (part.inputs(), part.outputs()) == (anew.inputs(), anew.outputs())


# Nodes and tags.


def test_nodes_are_chosen_by_their_full_names(whole):
    assert set(names(whole.only_nodes("report", "x.y.clean"))) == {"report", "x.y.clean"}
    assert names(whole.only_nodes()) == []
    assert names(whole.only_nodes("report", "report")) == ["report"]


@pytest.mark.parametrize("method", ["only_nodes", "from_nodes", "to_nodes"])
def test_unknown_nodes_are_reported_sorted_with_similar_full_names(whole, method):
    with pytest.raises(SelectionError) as raised:
        getattr(whole, method)("zz", "y.clean", "report", "one", "aa")

    assert isinstance(raised.value, ValueError)
    assert raised.value.names == ["aa", "one", "y.clean", "zz"]
    assert raised.value.close == ["k.l.one", "x.y.clean"]
    assert "'aa', 'one', 'y.clean', 'zz'" in str(raised.value)
    assert "'k.l.one', 'x.y.clean'" in str(raised.value)


def test_any_tag_selects_and_none_selects_nothing(whole):
    assert names(whole.only_nodes_with_tags("red")) == ["report", "x.y.clean"]
    assert names(whole.only_nodes_with_tags("blue", "red")) == ["report", "x.y.clean"]
    assert names(whole.only_nodes_with_tags()) == []


@pytest.mark.parametrize(
    ("tags", "warning", "chosen"),
    [
        (["bleu"], "no node has the tag 'bleu'. The nearest are 'blue', 'red'", []),
        (["blue", "rad"], "no node has the tag 'rad'. The nearest are 'red', 'blue'", ["report"]),
        (["rad", "1"], "no node has the tags '1', 'rad'. The nearest are", []),
    ],
)
def test_an_unknown_tag_selects_nothing_and_is_warned_of_with_the_nearest(whole, tags, warning, chosen):
    """A misspelt tag ran nothing, in silence."""
    with pytest.warns(UserWarning, match=re.escape(warning)) as caught:
        selected = whole.only_nodes_with_tags(*tags)

    assert names(selected) == chosen
    assert [each.filename for each in caught] == [__file__]


def test_a_pipeline_without_tags_says_so(whole):
    with pytest.warns(UserWarning, match="no node has the tag 'red': no node has any tag"):
        assert names(whole.only_nodes("k.l.one").only_nodes_with_tags("red")) == []


def test_a_filter_warns_of_an_unknown_tag(whole):
    with pytest.warns(UserWarning, match="no node has the tag 'bleu'. The nearest") as caught:
        assert names(whole.filter(tags=["bleu", "red"], from_nodes=["report"])) == ["report"]

    assert [each.filename for each in caught] == [__file__]


def test_a_filter_that_leaves_no_node_names_the_nearest_tags(whole):
    """There is an error already: no warning comes before it."""
    with pytest.raises(SelectionError, match="no nodes after") as raised:
        whole.filter(tags=["bleu"])

    assert (raised.value.names, raised.value.close) == (["bleu"], ["blue", "red"])


# Namespaces.


@pytest.mark.parametrize(
    ("namespaces", "chosen"),
    [
        (["x"], ["x.y.clean", "x.train"]),
        (["k"], ["k.load", "k.l.one"]),
        (["x.y", "kk"], ["kk.two", "x.y.clean"]),
        (["x", "x.y"], ["x.y.clean", "x.train"]),
        ([], []),
    ],
)
def test_namespaces_choose_by_whole_path_segments(whole, namespaces, chosen):
    assert names(whole.only_nodes_with_namespaces(namespaces)) == chosen


def test_namespaces_without_nodes_are_reported(whole):
    with pytest.raises(SelectionError, match="'report', 'zz'"):
        whole.only_nodes_with_namespaces(["zz", "x", "report"])


# Formats.


@pytest.mark.parametrize(
    ("method", "dataset", "chosen"),
    [
        ("only_nodes_with_inputs", "f", ["k.l.one", "kk.two"]),
        ("only_nodes_with_inputs", "f@s", ["kk.two"]),
        ("only_nodes_with_inputs", "c@w", []),
        ("only_nodes_with_outputs", "c", ["x.train"]),
        ("only_nodes_with_outputs", "a", []),
        ("from_inputs", "b", ["x.train", "report"]),
        ("from_inputs", "c@w", []),
        ("to_outputs", "d", ["x.y.clean", "x.train", "report"]),
        ("to_outputs", "f", ["k.load"]),
        ("to_outputs", "f@r", []),
    ],
)
def test_a_bare_name_means_all_formats_and_a_format_only_itself(whole, method, dataset, chosen):
    assert names(getattr(whole, method)(dataset)) == chosen


@pytest.mark.parametrize(
    "method", ["only_nodes_with_inputs", "only_nodes_with_outputs", "from_inputs", "to_outputs"]
)
def test_unknown_datasets_are_reported_sorted(whole, method):
    with pytest.raises(SelectionError, match="'f@nope', 'zz'"):
        getattr(whole, method)("zz", "a", "f@nope")


@pytest.mark.parametrize(
    ("method", "name", "meant"),
    [
        ("from_nodes", "reprot", "report"),
        ("only_nodes", "x.y.claen", "x.y.clean"),
        ("to_outputs", "params:rat", "params:rate"),
        ("only_nodes_with_inputs", "modle", "model"),
    ],
)
def test_a_misspelt_name_is_reported_with_the_name_that_was_meant(method, name, meant):
    nodes = [
        node(anything, "params:rate", "model", name="report"),
        node(anything, "model", "other", name="clean", namespace="x.y"),
    ]

    with pytest.raises(SelectionError, match=rf"'{name}'\. Did you mean '{meant}'\?"):
        getattr(pipeline(nodes), method)(name)


# Filters.


def test_a_filter_without_arguments_is_a_copy(whole):
    copy = whole.filter()

    assert copy is not whole
    assert copy.nodes == whole.nodes


def test_every_argument_of_a_filter_chooses_from_the_whole_pipeline(whole):
    """`train` is gone with the tags, and still `report` comes from `clean`."""
    assert names(whole.filter(tags=["red"], from_nodes=["x.y.clean"])) == ["report", "x.y.clean"]
    assert names(whole.filter(["red"], ["x.y.clean"], ["report"], ["report"], ["a"], ["d"], None)) == [
        "report"
    ]
    assert names(whole.filter(node_namespaces={"x"}, to_outputs=("c",), node_names=iter(["x.train"]))) == [
        "x.train"
    ]


def test_a_filter_accepts_one_name_without_a_list(whole):
    assert names(whole.filter(tags="blue", node_names="report")) == ["report"]


@pytest.mark.parametrize("wanted", [{"tags": ["nope"]}, {"from_nodes": ["report"], "to_nodes": ["k.load"]}])
def test_a_filter_that_leaves_no_node_is_an_error(whole, wanted):
    with pytest.raises(SelectionError, match="no nodes after"):
        whole.filter(**wanted)
    with pytest.raises(SelectionError, match="no nodes after"):
        pipeline([]).filter()
