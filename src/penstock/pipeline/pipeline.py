"""The class `Pipeline`: nodes that have been checked and put in order."""

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
from penstock.pipeline.modular import NewNames, Renaming
from penstock.pipeline.namespaces import GroupedNodes, grouped, interruptions
from penstock.pipeline.node import Node
from penstock.pipeline.selection import Selectable
from penstock.pipeline.topology import layers, parents
from penstock.pipeline.transcoding import base_name, base_names

__all__ = [
    "CircularDependencyError",
    "ConfirmNotUniqueError",
    "OutputNotUniqueError",
    "Pipeline",
    "PipelineError",
]


class Pipeline(Selectable):
    """Nodes that have been checked, and put in an order in which they can run. `pipeline` is another name of this class.

    The order follows from the datasets: a node runs after the nodes that produce its inputs. An input that no node
    produces is a *free input*; the catalog has to have it. The order in which `nodes` lists them does not matter.

    A pipeline does not change any more, and can be passed to a runner, or to `penstock.run`. Its methods return new pipelines:
    `only_nodes`, `from_inputs`, `filter` and others select nodes; `first + second` and `first | second` have the nodes of
    both, `first & second` the nodes that are in both, and `first - second` the nodes of the first that are not in the second.

    A pipeline can be used several times under different names. `namespace` puts a prefix in front of the names of the
    nodes and of their datasets and parameters: `clean` becomes `north.clean`, `params:rate` becomes
    `params:north.rate`. `inputs`, `outputs` and `parameters` list what keeps its name, or map old names to new ones. A
    name without `@format` means all formats of the dataset. `parameters` itself is never renamed.

    These are checked when the pipeline is made: node names are unique, each dataset is produced by one node and
    confirmed by one node, no dataset is used both with a format and without one, no nodes wait for each other, and the
    names to map exist. A warning names a namespace that other nodes interrupt: it could not run as one group.

    Args:
        nodes: Nodes and pipelines, or one pipeline.
        inputs: Free inputs that keep their names, or a mapping of old names to new ones.
        outputs: Datasets produced in the pipeline that keep their names, or a mapping of old names to new ones.
        parameters: Parameters that keep their names, or a mapping of old names to new ones; `params:` can be left out.
        tags: Tags that all nodes get in addition to their own.
        namespace: The prefix for nodes, and for datasets and parameters that are not listed above.
        prefix_datasets_with_namespace: Whether datasets and parameters get the prefix; nodes always do.

    Raises:
        InvalidPipelineError: Two nodes have one name, or a dataset is used both with a format and without one.
        OutputNotUniqueError: Two nodes produce one dataset.
        ConfirmNotUniqueError: Two nodes confirm one dataset.
        CircularDependencyError: Nodes wait for each other.
        PipelineError: A name to map is not in the pipeline, or is listed under the wrong argument.

    Example:
        >>> from penstock.pipeline import node, pipeline
        >>> training = pipeline(
        ...     [
        ...         node(lambda table, rate: (table, rate), ["clean", "params:rate"], "model", name="train"),
        ...         node(sorted, "raw", "clean", name="clean"),
        ...     ]
        ... )
        >>> [each.name for each in training.nodes]
        ['clean', 'train']
        >>> sorted(training.inputs()), training.outputs()
        (['params:rate', 'raw'], {'model'})

        The same pipeline for two regions, which share the parameter `rate`:

        >>> regions = [
        ...     pipeline(training, namespace=region, parameters="rate", outputs={"model": f"{region}_model"})
        ...     for region in ("north", "south")
        ... ]
        >>> both = pipeline(regions)
        >>> [each.name for each in both.nodes]
        ['north.clean', 'south.clean', 'north.train', 'south.train']
        >>> sorted(both.inputs())
        ['north.raw', 'params:rate', 'south.raw']
        >>> sorted(both.outputs())
        ['north_model', 'south_model']

        Parts of a pipeline, and all of its datasets:

        >>> sorted(training.all_inputs()), sorted(training.all_outputs()), sorted(training.datasets())
        (['clean', 'params:rate', 'raw'], ['clean', 'model'], ['clean', 'model', 'params:rate', 'raw'])
        >>> training - training.only_nodes("train")
        Pipeline([
        Node(sorted, 'raw', 'clean', 'clean')
        ])
    """

    def __init__(  # noqa: PLR0913 - the contract's arguments
        self,
        nodes: Iterable[Node | Pipeline] | Pipeline,
        *,
        inputs: NewNames = None,
        outputs: NewNames = None,
        parameters: NewNames = None,
        tags: str | Iterable[str] | None = None,
        namespace: str | None = None,
        prefix_datasets_with_namespace: bool = True,
    ) -> None:
        collected = _collected(nodes)
        renaming = Renaming(inputs, outputs, parameters, namespace, prefix_datasets_with_namespace)
        if renaming:
            collected = renaming.apply(collected)
        if tags:
            tags = [tags] if isinstance(tags, str) else list(tags)
            collected = [node.tag(tags) for node in collected]
        self._nodes = {node.name: node for node in collected}
        check_datasets(collected)
        # Putting the nodes in order finds cycles, so that no later method meets one.
        for namespace_left, between, entering in interruptions(self._ordered, self._parents):
            _warn_of_interruption(namespace_left, between, entering)

    # Its parts.

    @property
    def nodes(self) -> list[Node]:
        """The nodes in an order in which they can run: layer by layer, and by name inside a layer."""
        return list(self._ordered)

    @property
    def grouped_nodes(self) -> list[list[Node]]:
        """The nodes in layers: the nodes of one layer do not depend on each other."""
        return [[self._nodes[name] for name in layer] for layer in self._layers]

    @property
    def node_dependencies(self) -> Mapping[Node, frozenset[Node]]:
        """For each node, the nodes that produce its inputs."""
        return self._dependencies

    @cached_property
    def _dependencies(self) -> Mapping[Node, frozenset[Node]]:
        nodes, above = self._nodes, self._parents
        return MappingProxyType(
            {node: frozenset(nodes[name] for name in above[node.name]) for node in self._ordered}
        )

    @cached_property
    def _parents(self) -> Mapping[str, tuple[str, ...]]:
        return parents(self._nodes.values())

    @cached_property
    def _layers(self) -> list[list[str]]:
        return layers(self._parents)

    @cached_property
    def _ordered(self) -> tuple[Node, ...]:
        return tuple(self._nodes[name] for layer in self._layers for name in layer)

    @cached_property
    def _names(self) -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
        """All datasets that are taken, all that are produced, the free inputs, the outputs."""
        taken = frozenset([name for node in self._nodes.values() for name in node.inputs])
        produced = frozenset([name for node in self._nodes.values() for name in node.outputs])
        bases_taken, bases_produced = set(base_names(taken)), set(base_names(produced))
        free = frozenset([name for name in taken - produced if base_name(name) not in bases_produced])
        left = frozenset([name for name in produced - taken if base_name(name) not in bases_taken])
        return taken, produced, free, left

    def all_inputs(self) -> set[str]:
        """All datasets that any node takes.

        Returns:
            Their names, in every format that is used.
        """
        return set(self._names[0])

    def all_outputs(self) -> set[str]:
        """All datasets that any node produces.

        Returns:
            Their names, in every format that is used.
        """
        return set(self._names[1])

    def datasets(self) -> set[str]:
        """All datasets of the pipeline.

        Returns:
            Their names, in every format that is used.
        """
        return self.all_inputs() | self._names[1]

    def inputs(self) -> set[str]:
        """The free inputs: the datasets that a node takes and no node produces, in any format.

        Returns:
            Their names; a catalog needs a dataset for each of them.
        """
        return set(self._names[2])

    def outputs(self) -> set[str]:
        """The datasets that a node produces and no node takes, in any format.

        Returns:
            Their names; a run returns those that are not stored.
        """
        return set(self._names[3])

    def describe(self, names_only: bool = True) -> str:  # noqa: FBT001, FBT002 - Kedro's
        """The free inputs, the nodes in the order in which they run, and the outputs.

        Args:
            names_only: Show only the names of nodes, not their functions, inputs and outputs.

        Returns:
            Text of several lines.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> print(pipeline([node(len, "a", "b", name="count")]).describe(names_only=False))
            #### Pipeline execution order ####
            Inputs: a
            <BLANKLINE>
            count: len([a]) -> [b]
            <BLANKLINE>
            Outputs: b
            ##################################
        """
        return description(self, names_only=names_only)

    def to_json(self) -> str:
        """The nodes with their inputs, outputs and tags, for other programs.

        Returns:
            A JSON object with the keys `kedro_version` (the release of Kedro that has this format), `penstock_version` and `pipeline`.

        Example:
            >>> import json
            >>> from penstock.pipeline import node, pipeline
            >>> json.loads(pipeline([node(len, "a", "b", name="count")]).to_json())["pipeline"]
            [{'name': 'count', 'inputs': ['a'], 'outputs': ['b'], 'tags': []}]
        """
        return as_json(self)

    def group_nodes_by(self, group_by: str | None = "namespace") -> list[GroupedNodes]:
        """Groups of nodes that can run as one, for instance as one task of an orchestrator.

        Args:
            group_by: "namespace" for one group of each top-level namespace; "none" or `None` for one of each node.

        Returns:
            The groups in an order in which they can run.

        Raises:
            SelectionError: `group_by` has another value.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", name="count", namespace="north"), node(str, "b", "c", name="show")])
            >>> [(group.name, group.type, group.dependencies) for group in whole.group_nodes_by("namespace")]
            [('north', 'namespace', []), ('show', 'nodes', ['north'])]
        """
        if group_by not in {"namespace", "none", None}:
            raise SelectionError("cannot group nodes by", [str(group_by)], ["namespace", "none"])
        return grouped(self._ordered, self._parents, by_namespace=group_by == "namespace")

    # Pipelines made from it.

    def tag(self, tags: str | Iterable[str]) -> Pipeline:
        """The same nodes with these tags in addition.

        Args:
            tags: One tag or several.

        Returns:
            A new pipeline.

        Raises:
            InvalidNodeError: A tag is not valid.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> pipeline([node(len, "a", "b")]).tag("daily").nodes[0].tags
            {'daily'}
        """
        return Pipeline(self, tags=tags)

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
        added = [node for node in other.nodes if self._nodes.get(node.name) != node]
        return Pipeline([*self._nodes.values(), *added])

    def __sub__(self, other: object) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return self._subset(node.name for node in set(self.nodes) - set(other.nodes))

    def __and__(self, other: object) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return self._subset(node.name for node in set(self.nodes) & set(other.nodes))

    def _subset(self, names: Iterable[str]) -> Pipeline:
        """Some nodes of this pipeline, without new checks: what holds for all nodes holds for some of them."""
        chosen = set(names)
        made = Pipeline.__new__(Pipeline)
        made.__dict__.update(_nodes={name: node for name, node in self._nodes.items() if name in chosen})
        return made

    # Text and pickling.

    def __repr__(self) -> str:
        shown = [repr(node) for node in self._ordered[:10]]
        if len(self._ordered) > len(shown):
            shown.append("...")
        return "Pipeline([\n" + ",\n".join(shown) + "\n])"

    def __getstate__(self) -> dict[str, Any]:
        # The order is computed again where it is needed.
        return {"_nodes": self._nodes}


def _warn_of_interruption(namespace: str, between: list[str], entering: str) -> None:
    text = f"the namespace {namespace!r} is interrupted: its node {entering!r} depends on the nodes {between} outside of it"
    advice = "It cannot run as one group: move these nodes into the namespace, or that node out of it"
    warnings.warn(f"{text}, and these on other nodes of the namespace. {advice}", UserWarning, stacklevel=3)


def _collected(nodes: Any) -> list[Node]:
    """The nodes, and the nodes of pipelines, in the given order."""
    if isinstance(nodes, Pipeline):
        return nodes.nodes
    if nodes is None or isinstance(nodes, (str, Node)) or not isinstance(nodes, Iterable):
        advice = "Pass a list of nodes and pipelines"
        raise InvalidPipelineError("nodes must be a list, but the type is", [type(nodes).__name__], advice)
    sources = [_source(item) for item in nodes]
    check_names(sources)
    return [node for _, found in sources for node in found]


def _source(item: Any) -> tuple[str, list[Node]]:
    if isinstance(item, Node):
        return "listed by itself", [item]
    if isinstance(item, Pipeline):
        return f"in a pipeline of {len(item.nodes)} nodes", item.nodes
    advice = "Pass nodes and pipelines"
    raise InvalidPipelineError("nodes has an item of the wrong type", [type(item).__name__], advice)
