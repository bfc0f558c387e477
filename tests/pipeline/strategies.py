"""Random pipelines, for what has to hold for every one of them."""

from __future__ import annotations

from hypothesis import strategies as st

from penstock.pipeline import Node, Pipeline, node, pipeline


def anything(*args, **kwargs):
    """A function that takes whatever a node gives it."""
    return len(args) + len(kwargs)


@st.composite
def node_lists(draw: st.DrawFn, max_size: int = 12) -> list[Node]:
    """Nodes without cycles: each one takes free inputs, and outputs of nodes drawn before; shuffled."""
    available = ["raw", "table@csv", "params:rate"]
    nodes = []
    for place in range(draw(st.integers(0, max_size))):
        inputs = draw(st.lists(st.sampled_from(available), max_size=3, unique=True))
        outputs = [f"d{place}_{number}" for number in range(draw(st.integers(0 if inputs else 1, 2)))]
        formatted = draw(st.booleans())
        nodes.append(
            node(
                anything,
                inputs,
                [f"{name}@w" if formatted else name for name in outputs],
                name=f"{draw(st.sampled_from('abc'))}{place}",
                tags=draw(st.sets(st.sampled_from(["red", "blue"]))),
            )
        )
        available += [f"{name}@r" if formatted else name for name in outputs]
    return draw(st.permutations(nodes))


def pipelines(max_size: int = 12) -> st.SearchStrategy[Pipeline]:
    """Pipelines of such nodes."""
    return node_lists(max_size).map(pipeline)


@st.composite
def pipelines_with_nodes(draw: st.DrawFn) -> tuple[Pipeline, list[str]]:
    """A pipeline, and the names of some of its nodes."""
    whole = draw(pipelines())
    names = [node.name for node in whole.nodes]
    return whole, draw(st.lists(st.sampled_from(names), unique=True)) if names else []


def names(part: Pipeline) -> list[str]:
    """The names of the nodes in order."""
    return [node.name for node in part.nodes]
