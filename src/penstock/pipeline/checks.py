"""Checks of nodes that are to form a pipeline: unique names, one producer for each dataset."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from penstock.errors import ConfirmNotUniqueError, InvalidPipelineError, OutputNotUniqueError
from penstock.pipeline.transcoding import SEPARATOR, base_names, used_both_ways

if TYPE_CHECKING:
    from penstock.pipeline.node import Node


def check_names(sources: list[tuple[str, list[Node]]]) -> None:
    """Refuse two nodes with one name.

    Args:
        sources: For each source of nodes its description and its nodes.

    Raises:
        InvalidPipelineError: Some names appear more than once; the error names the sources.
    """
    repeated = _repeated((node.name, source) for source, nodes in sources for node in nodes)
    if repeated:
        problem = "node names must be unique, these appear more than once"
        named = [f"{name} ({' and '.join(found)})" for name, found in repeated.items()]
        raise InvalidPipelineError(problem, named, "Rename the nodes, or list each node once")


def check_datasets(nodes: Iterable[Node]) -> None:
    """Refuse datasets that two nodes produce or confirm, or that are used both with a format and without one.

    Raises:
        InvalidPipelineError: A dataset is used both as `name` and as `name@format`.
        OutputNotUniqueError: A dataset has two producers.
        ConfirmNotUniqueError: A dataset is confirmed twice.
    """
    nodes = list(nodes)
    both = used_both_ways(set(chain.from_iterable(chain(node.inputs, node.outputs) for node in nodes)))
    if both:
        problem = f"datasets are used both with {SEPARATOR!r} and a format and without one"
        raise InvalidPipelineError(problem, both, "Add a format to every use, or to none")
    produced = _repeated((name, node.name) for node in nodes for name in node.output_bases)
    if produced:
        raise OutputNotUniqueError(produced)
    confirmed = _repeated((name, node.name) for node in nodes for name in base_names(node.confirms))
    if confirmed:
        raise ConfirmNotUniqueError(confirmed)


def _repeated(names_and_sources: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names that appear more than once, sorted, each with its sources."""
    sources_by_name: dict[str, list[str]] = {}
    for name, source in names_and_sources:
        sources_by_name.setdefault(name, []).append(source)
    return dict(sorted((name, each) for name, each in sources_by_name.items() if len(each) > 1))
