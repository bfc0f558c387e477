"""A node costs as much among many as among few. Calls are counted and not timed: they do not depend on the machine."""

from __future__ import annotations

import cProfile

import pytest

from penstock.graph import compile_pipeline
from penstock.io import DataCatalog
from penstock.pipeline import node, pipeline
from penstock.runner import SequentialRunner

pytestmark = [pytest.mark.apart, pytest.mark.newest]


FEW, MANY = 1_000, 4_000

MOST_GROWTH = 1.1


def add(left, right=0):
    return (left + right) % 1_000_003


def chain(nodes):
    return [node(add, f"x{number}", f"x{number + 1}", name=f"n{number}") for number in range(nodes)]


def grid(nodes, wide=20):
    """Layers of nodes that take two of the layer before."""

    def name(number, shift):
        layer, column = divmod(number, wide)
        return f"x{(layer - 1) * wide + (column + shift) % wide}" if layer else "x"

    return [
        node(add, [name(number, 0), name(number, 1)], f"x{number}", name=f"n{number}")
        for number in range(nodes)
    ]


def fan(nodes):
    """Readers of one dataset, each with an output of the pipeline."""
    return [node(add, "x", f"x{number}", name=f"n{number}") for number in range(nodes)]


SHAPES = {"chain": chain, "grid": grid, "fan": fan}


def calls_of(work, *arguments):
    """How many functions a piece of work calls, those written in C included."""
    profile = cProfile.Profile()
    profile.runcall(work, *arguments)
    return sum(entry.callcount for entry in profile.getstats())


def calls_per_node(shape, size, work):
    """The calls that a piece of work makes for each node of a pipeline of that shape."""
    pipe = pipeline(SHAPES[shape](size))
    catalog = DataCatalog(dict.fromkeys(pipe.inputs(), 1))
    return calls_of(work, pipe, catalog) / size


def run(pipe, catalog):
    SequentialRunner().run(pipe, catalog)


@pytest.fixture(params=SHAPES)
def shape(request):
    return request.param


@pytest.mark.parametrize("work", [compile_pipeline, run])
def test_a_node_costs_as_much_among_many(shape, work):
    """Kedro's cost of a node grows with the number of nodes: four times from 1,000 to 4,000."""
    few, many = (calls_per_node(shape, size, work) for size in (FEW, MANY))

    assert many <= MOST_GROWTH * few


def test_a_pipeline_of_many_is_built_like_one_of_few(shape):
    few, many = (calls_of(pipeline, SHAPES[shape](size)) / size for size in (FEW, MANY))

    assert many <= MOST_GROWTH * few


def test_what_grows_is_seen_to_grow():
    """The counter sees a search through all nodes for each node."""

    def search(pipe, catalog):
        for each in pipe.nodes:
            next(other for other in pipe.nodes if other.name == each.name)

    few, many = (calls_per_node("fan", size, search) for size in (100, 400))

    assert many > 2 * few
