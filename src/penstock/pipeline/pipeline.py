"""Nodes that have been checked and put in order."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from penstock.errors import (
    CircularDependencyError,
    ConfirmNotUniqueError,
    InvalidPipelineError,
    OutputNotUniqueError,
    PipelineError,
    SelectionError,
)
from penstock.pipeline.checks import check_datasets, check_names
from penstock.pipeline.formatting import as_json, description
from penstock.pipeline.modular import Mapped, Renaming
from penstock.pipeline.namespaces import GroupedNodes, grouped, reentries
from penstock.pipeline.node import Node
from penstock.pipeline.selection import Selector, all_of
from penstock.pipeline.topology import Links, layers, link
from penstock.pipeline.transcoding import base_name, base_names

__all__ = [
    "CircularDependencyError",
    "ConfirmNotUniqueError",
    "OutputNotUniqueError",
    "Pipeline",
    "PipelineError",
    "pipeline",
]


class Pipeline:
    """Nodes that have been checked and put in order; nothing changes a pipeline once it is made.

    Args:
        nodes: Nodes and pipelines, or one pipeline.
        inputs: Free inputs that keep their name in spite of a namespace, or a mapping of old names to new ones.
        outputs: The same for datasets that the pipeline produces.
        parameters: The same for parameters; `params:` may be left out.
        tags: Tags that every node gets in addition.
        namespace: What the names of nodes, and of datasets that are not listed, get as a prefix.
        prefix_datasets_with_namespace: Whether datasets get the prefix, too.

    Raises:
        InvalidPipelineError: Two nodes have one name, or a dataset is used with and without a format.
        OutputNotUniqueError: Two nodes produce one dataset.
        ConfirmNotUniqueError: Two nodes confirm one dataset.
        CircularDependencyError: Nodes wait for each other.
        PipelineError: The names to map do not fit the pipeline.
    """

    def __init__(  # noqa: PLR0913 - the contract's arguments
        self,
        nodes: Iterable[Node | Pipeline] | Pipeline,
        *,
        inputs: Mapped = None,
        outputs: Mapped = None,
        parameters: Mapped = None,
        tags: str | Iterable[str] | None = None,
        namespace: str | None = None,
        prefix_datasets_with_namespace: bool = True,
    ) -> None:
        gathered = _gathered(nodes)
        renaming = Renaming(inputs, outputs, parameters, namespace, prefix_datasets_with_namespace)
        if renaming:
            gathered = renaming.apply(gathered)
        if tags:
            tags = [tags] if isinstance(tags, str) else list(tags)
            gathered = [node.tag(tags) for node in gathered]
        self._nodes = {node.name: node for node in gathered}
        check_datasets(gathered)
        # Ordering them finds cycles, so that nothing after this has to think of them.
        for interrupted, between, back in reentries(self._ordered, self._links.parents):
            _warn_of_reentry(interrupted, between, back)

    # What is in it.

    @property
    def nodes(self) -> list[Node]:
        """The nodes in the order of layers, and of names inside a layer."""
        return list(self._ordered)

    @property
    def grouped_nodes(self) -> list[list[Node]]:
        """The nodes in layers: those of one layer need nothing of each other."""
        return [[self._nodes[name] for name in layer] for layer in self._layers]

    @cached_property
    def node_dependencies(self) -> Mapping[Node, frozenset[Node]]:
        """For every node, those that directly feed it."""
        nodes, parents = self._nodes, self._links.parents
        return MappingProxyType(
            {node: frozenset(nodes[parent] for parent in parents[node.name]) for node in self._ordered}
        )

    @cached_property
    def _links(self) -> Links:
        """The direct parents and children of every node, by name."""
        return link(self._nodes.values())

    @cached_property
    def _selector(self) -> Selector:
        return Selector(self.nodes, self._links, self._consumers, self._producers)

    @cached_property
    def _consumers(self) -> Mapping[str, list[str]]:
        """For every dataset that is taken, the names of the nodes that take it; under its base name, too."""
        return _ends((node.name, node.inputs) for node in self._ordered)

    @cached_property
    def _producers(self) -> Mapping[str, list[str]]:
        """For every dataset that is given, the name of the node that gives it; under its base name, too."""
        return _ends((node.name, node.outputs) for node in self._ordered)

    @cached_property
    def _layers(self) -> list[list[str]]:
        return layers(self._links)

    @cached_property
    def _ordered(self) -> tuple[Node, ...]:
        return tuple(self._nodes[name] for layer in self._layers for name in layer)

    @cached_property
    def _names(self) -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
        """All that is taken, all that is given, the free inputs, the outputs."""
        taken = frozenset([name for node in self._nodes.values() for name in node.inputs])
        given = frozenset([name for node in self._nodes.values() for name in node.outputs])
        bases_taken, bases_given = set(base_names(taken)), set(base_names(given))
        free = frozenset([name for name in taken - given if base_name(name) not in bases_given])
        left = frozenset([name for name in given - taken if base_name(name) not in bases_taken])
        return taken, given, free, left

    def all_inputs(self) -> set[str]:
        """All datasets that a node takes."""
        return set(self._names[0])

    def all_outputs(self) -> set[str]:
        """All datasets that a node gives."""
        return set(self._names[1])

    def datasets(self) -> set[str]:
        """All datasets, in every format that is used."""
        return self.all_inputs() | self._names[1]

    def inputs(self) -> set[str]:
        """The free inputs: taken by a node, and given by none in any format."""
        return set(self._names[2])

    def outputs(self) -> set[str]:
        """The datasets that are given by a node, and taken by none in any format."""
        return set(self._names[3])

    def describe(self, names_only: bool = True) -> str:  # noqa: FBT001, FBT002 - Kedro's
        """The free inputs, the nodes in the order in which they run, and the outputs, as text.

        Args:
            names_only: Whether a node is told by its name; else with its function, inputs and outputs.
        """
        return description(self, names_only=names_only)

    def to_json(self) -> str:
        """The nodes with their inputs, outputs and tags as a JSON object, for other programs."""
        return as_json(self)

    def group_nodes_by(self, group_by: str | None = "namespace") -> list[GroupedNodes]:
        """Groups of nodes that can run as one, in an order in which they can run.

        Args:
            group_by: "namespace" for a group of each top-level namespace; "none" or `None` for one of each node.

        Raises:
            SelectionError: There is no such way to group.
        """
        if group_by not in {"namespace", "none", None}:
            raise SelectionError("nodes cannot be grouped by", [str(group_by)], ["namespace", "none"])
        return grouped(self._ordered, self._links.parents, by_namespace=group_by == "namespace")

    # Pipelines made of it.

    def only_nodes(self, *names: str) -> Pipeline:
        """The nodes of these full names.

        Raises:
            SelectionError: The pipeline does not have some of them.
        """
        return self._subset(self._selector.named(names))

    def only_nodes_with_tags(self, *tags: str) -> Pipeline:
        """The nodes that have any of these tags."""
        return self._subset(self._selector.tagged(tags))

    def only_nodes_with_namespaces(self, node_namespaces: Iterable[str]) -> Pipeline:
        """The nodes in any of these namespaces, or in namespaces inside them.

        Raises:
            SelectionError: No node is in some of them.
        """
        return self._subset(self._selector.in_namespaces(_several(node_namespaces)))

    def only_nodes_with_inputs(self, *datasets: str) -> Pipeline:
        """The nodes that take any of these datasets; a bare name means all its formats.

        Raises:
            SelectionError: The pipeline does not have some of the datasets.
        """
        return self._subset(self._selector.consuming(datasets))

    def only_nodes_with_outputs(self, *datasets: str) -> Pipeline:
        """The nodes that give any of these datasets; a bare name means all its formats.

        Raises:
            SelectionError: The pipeline does not have some of the datasets.
        """
        return self._subset(self._selector.producing(datasets))

    def from_inputs(self, *datasets: str) -> Pipeline:
        """The nodes that take any of these datasets, and all that come after.

        Raises:
            SelectionError: The pipeline does not have some of the datasets.
        """
        return self._subset(self._selector.downstream(self._selector.consuming(datasets)))

    def to_outputs(self, *datasets: str) -> Pipeline:
        """The nodes that give any of these datasets, and all that come before.

        Raises:
            SelectionError: The pipeline does not have some of the datasets.
        """
        return self._subset(self._selector.upstream(self._selector.producing(datasets)))

    def from_nodes(self, *names: str) -> Pipeline:
        """The nodes of these names, and all that come after.

        Raises:
            SelectionError: The pipeline does not have some of them.
        """
        return self._subset(self._selector.downstream(self._selector.named(names)))

    def to_nodes(self, *names: str) -> Pipeline:
        """The nodes of these names, and all that come before.

        Raises:
            SelectionError: The pipeline does not have some of them.
        """
        return self._subset(self._selector.upstream(self._selector.named(names)))

    def tag(self, tags: str | Iterable[str]) -> Pipeline:
        """The same nodes with these tags as well."""
        return Pipeline(self, tags=tags)

    def filter(  # noqa: PLR0913, PLR0917 - the contract's arguments
        self,
        tags: Iterable[str] | None = None,
        from_nodes: Iterable[str] | None = None,
        to_nodes: Iterable[str] | None = None,
        node_names: Iterable[str] | None = None,
        from_inputs: Iterable[str] | None = None,
        to_outputs: Iterable[str] | None = None,
        node_namespaces: Iterable[str] | None = None,
    ) -> Pipeline:
        """The nodes that every given selection chooses from this pipeline.

        Raises:
            SelectionError: A selection names what the pipeline does not have, or no node is left.
        """
        chosen = [
            (tags, self.only_nodes_with_tags),
            (from_nodes, self.from_nodes),
            (to_nodes, self.to_nodes),
            (node_names, self.only_nodes),
            (from_inputs, self.from_inputs),
            (to_outputs, self.to_outputs),
        ]
        choices = [set(self._nodes)]
        for wanted, select in chosen:
            names = _several(wanted)
            if names:
                choices.append(set(select(*names)._nodes))
        namespaces = _several(node_namespaces)
        if namespaces:
            choices.append(self._selector.in_namespaces(namespaces))
        return self._subset(all_of(choices))

    def __add__(self, other: object) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return self | other

    def __radd__(self, other: object) -> Pipeline:
        # `sum` starts with 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __or__(self, other: object) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        added = [node for name, node in other._nodes.items() if self._nodes.get(name) != node]
        return Pipeline([*self._nodes.values(), *added])

    def __sub__(self, other: object) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return self._subset(name for name, node in self._nodes.items() if other._nodes.get(name) != node)

    def __and__(self, other: object) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return self._subset(name for name, node in self._nodes.items() if other._nodes.get(name) == node)

    def _subset(self, names: Iterable[str]) -> Pipeline:
        """Some nodes of this pipeline: whatever was checked for all of them holds for some."""
        chosen = set(names)
        return _unchecked({name: node for name, node in self._nodes.items() if name in chosen})

    # How it is told and sent.

    def __repr__(self) -> str:
        shown = [repr(node) for node in self._ordered[:10]]
        if len(self._ordered) > len(shown):
            shown.append("...")
        return "Pipeline([\n" + ",\n".join(shown) + "\n])"

    def __getstate__(self) -> dict[str, Any]:
        # The order is derived again where it is asked for.
        return {"_nodes": self._nodes}


def pipeline(  # noqa: PLR0913 - the contract's arguments
    nodes: Iterable[Node | Pipeline] | Pipeline,
    *,
    inputs: Mapped = None,
    outputs: Mapped = None,
    parameters: Mapped = None,
    tags: str | Iterable[str] | None = None,
    namespace: str | None = None,
    prefix_datasets_with_namespace: bool = True,
) -> Pipeline:
    """A new `Pipeline` of the same arguments; it raises what `Pipeline` raises."""
    return Pipeline(
        nodes,
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
        tags=tags,
        namespace=namespace,
        prefix_datasets_with_namespace=prefix_datasets_with_namespace,
    )


def _warn_of_reentry(namespace: str, between: list[str], back: str) -> None:
    text = (
        f"the namespace {namespace!r} is left and entered again by {back!r}, with the nodes {between} between"
    )
    advice = "It cannot run as one group: move them into it, or that node out of it"
    warnings.warn(f"{text}. {advice}", UserWarning, stacklevel=3)


def _unchecked(nodes: dict[str, Node]) -> Pipeline:
    made = Pipeline.__new__(Pipeline)
    made._nodes = nodes
    return made


def _gathered(nodes: Any) -> list[Node]:
    """The nodes, those of pipelines included, in the order in which they stand there."""
    if isinstance(nodes, Pipeline):
        return list(nodes._nodes.values())
    if nodes is None or isinstance(nodes, (str, Node)) or not isinstance(nodes, Iterable):
        advice = "Give it a list of nodes and pipelines"
        raise InvalidPipelineError("a pipeline is not made of", [type(nodes).__name__], advice)
    sources = [_source(part) for part in nodes]
    check_names(sources)
    return [node for _, found in sources for node in found]


def _source(part: Any) -> tuple[str, list[Node]]:
    if isinstance(part, Node):
        return "a free node", [part]
    if isinstance(part, Pipeline):
        return f"in a pipeline of {len(part._nodes)} nodes", list(part._nodes.values())
    advice = "Give it nodes and pipelines"
    raise InvalidPipelineError("a pipeline is not made of", [type(part).__name__], advice)


def _several(names: Iterable[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _ends(sides: Iterable[tuple[str, list[str]]]) -> dict[str, list[str]]:
    nodes_by_dataset: dict[str, list[str]] = {}
    for node, datasets in sides:
        for name in {*datasets, *map(base_name, datasets)}:
            nodes_by_dataset.setdefault(name, []).append(node)
    return nodes_by_dataset
