"""Selecting nodes of a pipeline: by name, tag, namespace or dataset, and what comes before or after them."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from penstock._similar import similar_names
from penstock.errors import SelectionError
from penstock.pipeline.topology import children, reachable
from penstock.pipeline.transcoding import base_name

if TYPE_CHECKING:
    from penstock.pipeline.node import Node

_Selected = TypeVar("_Selected", bound="Selectable")


class Selectable(ABC):
    """The methods of `Pipeline` that select some of its nodes."""

    _nodes: dict[str, Node]

    @property
    @abstractmethod
    def _parents(self) -> Mapping[str, tuple[str, ...]]: ...

    @abstractmethod
    def _subset(self: _Selected, names: Iterable[str]) -> _Selected: ...

    def only_nodes(self: _Selected, *names: str) -> _Selected:
        """The nodes with these names.

        Args:
            *names: Full names, with the namespace.

        Returns:
            A pipeline of these nodes.

        Raises:
            SelectionError: The pipeline does not have some of them.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", name="count"), node(str, "b", "c", name="show")])
            >>> whole.only_nodes("show").inputs()
            {'b'}
        """
        return self._subset(self._named(names))

    def only_nodes_with_tags(self: _Selected, *tags: str) -> _Selected:
        """The nodes that have any of these tags.

        Args:
            *tags: Tags; a warning names the nearest ones for a tag that no node has.

        Returns:
            A pipeline of these nodes; an empty one if there are none.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", tags="daily"), node(str, "b", "c", name="show")])
            >>> whole.only_nodes_with_tags("daily").outputs()
            {'b'}
        """
        self._warn_of_unknown(tags)
        return self._subset(self._tagged(tags))

    def only_nodes_with_namespaces(self: _Selected, node_namespaces: Iterable[str]) -> _Selected:
        """The nodes in any of these namespaces, or in namespaces inside them.

        Args:
            node_namespaces: Namespaces: `a` includes `a.b`.

        Returns:
            A pipeline of these nodes.

        Raises:
            SelectionError: Some of the namespaces have no node.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> count = pipeline([node(len, "a", "b", name="count")])
            >>> whole = pipeline([pipeline(count, namespace="north"), pipeline(count, namespace="south")])
            >>> whole.only_nodes_with_namespaces(["south"]).inputs()
            {'south.a'}
        """
        return self._subset(self._in_namespaces(_as_list(node_namespaces)))

    def only_nodes_with_inputs(self: _Selected, *datasets: str) -> _Selected:
        """The nodes that take any of these datasets.

        Args:
            *datasets: Dataset names; a name without format means all formats.

        Returns:
            A pipeline of these nodes.

        Raises:
            SelectionError: The pipeline does not have some of the datasets.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", name="count"), node(str, "b", "c", name="show")])
            >>> whole.only_nodes_with_inputs("a").outputs()
            {'b'}
        """
        return self._subset(self._linked_to(datasets, self._consumers))

    def only_nodes_with_outputs(self: _Selected, *datasets: str) -> _Selected:
        """The nodes that produce any of these datasets.

        Args:
            *datasets: Dataset names; a name without format means all formats.

        Returns:
            A pipeline of these nodes.

        Raises:
            SelectionError: The pipeline does not have some of the datasets.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", name="count"), node(str, "b", "c", name="show")])
            >>> whole.only_nodes_with_outputs("c").inputs()
            {'b'}
        """
        return self._subset(self._linked_to(datasets, self._producers))

    def from_inputs(self: _Selected, *datasets: str) -> _Selected:
        """The nodes that take any of these datasets, and all nodes that depend on them.

        Args:
            *datasets: Dataset names; a name without format means all formats.

        Returns:
            A pipeline of these nodes.

        Raises:
            SelectionError: The pipeline does not have some of the datasets.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", name="count"), node(str, "b", "c", name="show")])
            >>> [each.name for each in whole.from_inputs("a").nodes]
            ['count', 'show']
        """
        return self._subset(self._from_inputs(datasets))

    def to_outputs(self: _Selected, *datasets: str) -> _Selected:
        """The nodes that produce any of these datasets, and all nodes that they depend on.

        Args:
            *datasets: Dataset names; a name without format means all formats.

        Returns:
            A pipeline of these nodes.

        Raises:
            SelectionError: The pipeline does not have some of the datasets.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", name="count"), node(str, "b", "c", name="show")])
            >>> [each.name for each in whole.to_outputs("b").nodes]
            ['count']
        """
        return self._subset(self._to_outputs(datasets))

    def from_nodes(self: _Selected, *names: str) -> _Selected:
        """The nodes with these names, and all nodes that depend on them.

        Args:
            *names: Full names, with the namespace.

        Returns:
            A pipeline of these nodes.

        Raises:
            SelectionError: The pipeline does not have some of them.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", name="count"), node(str, "b", "c", name="show")])
            >>> [each.name for each in whole.from_nodes("count").nodes]
            ['count', 'show']
        """
        return self._subset(self._from_nodes(names))

    def to_nodes(self: _Selected, *names: str) -> _Selected:
        """The nodes with these names, and all nodes that they depend on.

        Args:
            *names: Full names, with the namespace.

        Returns:
            A pipeline of these nodes.

        Raises:
            SelectionError: The pipeline does not have some of them.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", name="count"), node(str, "b", "c", name="show")])
            >>> [each.name for each in whole.to_nodes("count").nodes]
            ['count']
        """
        return self._subset(self._to_nodes(names))

    def filter(  # noqa: PLR0913, PLR0917 - the contract's arguments
        self: _Selected,
        tags: Iterable[str] | None = None,
        from_nodes: Iterable[str] | None = None,
        to_nodes: Iterable[str] | None = None,
        node_names: Iterable[str] | None = None,
        from_inputs: Iterable[str] | None = None,
        to_outputs: Iterable[str] | None = None,
        node_namespaces: Iterable[str] | None = None,
    ) -> _Selected:
        """The nodes that pass all given selections; each one selects from the whole pipeline.

        Args:
            tags: Nodes with any of these tags.
            from_nodes: Nodes with these names, and all that depend on them.
            to_nodes: Nodes with these names, and all that they depend on.
            node_names: Nodes with these names.
            from_inputs: Nodes that take these datasets, and all that depend on them.
            to_outputs: Nodes that produce these datasets, and all that they depend on.
            node_namespaces: Nodes in these namespaces, or in namespaces inside them.

        Returns:
            A pipeline of these nodes.

        Raises:
            SelectionError: A selection names what the pipeline does not have, or no node is left.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", name="count"), node(str, "b", "c", name="show", tags="daily")])
            >>> [each.name for each in whole.filter(from_nodes=["count"], tags=["daily"]).nodes]
            ['show']
        """
        selections = [
            (tags, self._tagged),
            (from_nodes, self._from_nodes),
            (to_nodes, self._to_nodes),
            (node_names, self._named),
            (from_inputs, self._from_inputs),
            (to_outputs, self._to_outputs),
            (node_namespaces, self._in_namespaces),
        ]
        found = [select(names) for wanted, select in selections if (names := _as_list(wanted))]
        chosen = set(self._nodes).intersection(*found)
        if not chosen:
            unknown, nearest = self._unknown_tags(_as_list(tags))
            and_tags = ", and none with these tags" if unknown else ""
            problem = f"the pipeline has no nodes after applying all filters{and_tags}"
            raise SelectionError(problem, unknown, nearest)
        self._warn_of_unknown(_as_list(tags))
        return self._subset(chosen)

    def _named(self, names: Iterable[str]) -> set[str]:
        wanted = set(names)
        missing = sorted(map(str, wanted - self._nodes.keys()))
        if missing:
            # A node in a namespace is often named without it.
            endings = tuple(f".{name}" for name in missing)
            full_names = sorted(name for name in self._nodes if name.endswith(endings))
            problem = "the pipeline has no nodes with these names"
            raise SelectionError(problem, missing, full_names or similar_names(missing, self._nodes))
        return wanted

    def _in_namespaces(self, namespaces: Iterable[str]) -> set[str]:
        nodes_by_namespace = defaultdict(set)
        for node in self._nodes.values():
            for namespace in node.namespace_prefixes:
                nodes_by_namespace[namespace].add(node.name)
        wanted = set(namespaces)
        missing = sorted(map(str, wanted - nodes_by_namespace.keys()))
        if missing:
            problem = "the pipeline has no nodes in these namespaces"
            raise SelectionError(problem, missing, sorted(nodes_by_namespace))
        return set().union(*(nodes_by_namespace[namespace] for namespace in wanted))

    def _linked_to(self, datasets: Iterable[str], nodes_by_dataset: Mapping[str, list[str]]) -> set[str]:
        wanted = set(datasets)
        known = self._consumers.keys() | self._producers.keys()
        missing = sorted(map(str, wanted - known))
        if missing:
            problem = "the pipeline has no datasets with these names"
            raise SelectionError(problem, missing, similar_names(missing, known))
        return set().union(*(nodes_by_dataset.get(name, ()) for name in wanted))

    def _tagged(self, tags: Iterable[str]) -> set[str]:
        return {name for name, node in self._nodes.items() if not node.tags.isdisjoint(tags)}

    def _unknown_tags(self, tags: Iterable[str]) -> tuple[list[str], list[str]]:
        """The tags that no node has, and the tags that are nearest to them, however far these are."""
        known = set().union(*(node.tags for node in self._nodes.values()))
        unknown = sorted(map(str, set(tags) - known))
        return unknown, similar_names(unknown, known, similarity=0.0)

    def _warn_of_unknown(self, tags: Iterable[str]) -> None:
        unknown, nearest = self._unknown_tags(tags)
        if unknown and self._nodes:
            tags_text = f"tag{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, unknown))}"
            known = (
                f". The nearest are {', '.join(map(repr, nearest))}" if nearest else ": no node has any tag"
            )
            warnings.warn(f"no node has the {tags_text}{known}", UserWarning, stacklevel=3)

    def _from_nodes(self, names: Iterable[str]) -> set[str]:
        return reachable(self._named(names), self._children)

    def _to_nodes(self, names: Iterable[str]) -> set[str]:
        return reachable(self._named(names), self._parents)

    def _from_inputs(self, datasets: Iterable[str]) -> set[str]:
        return reachable(self._linked_to(datasets, self._consumers), self._children)

    def _to_outputs(self, datasets: Iterable[str]) -> set[str]:
        return reachable(self._linked_to(datasets, self._producers), self._parents)

    @cached_property
    def _children(self) -> Mapping[str, list[str]]:
        return children(self._parents)

    @cached_property
    def _consumers(self) -> dict[str, list[str]]:
        return _nodes_by_dataset((node.name, node.inputs) for node in self._nodes.values())

    @cached_property
    def _producers(self) -> dict[str, list[str]]:
        return _nodes_by_dataset((node.name, node.outputs) for node in self._nodes.values())


def _as_list(names: Iterable[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _nodes_by_dataset(datasets_of_nodes: Iterable[tuple[str, list[str]]]) -> dict[str, list[str]]:
    """The names of nodes by dataset; under its name without format, the nodes for all its formats."""
    nodes_by_dataset: dict[str, list[str]] = {}
    for node, datasets in datasets_of_nodes:
        for name in {*datasets, *map(base_name, datasets)}:
            nodes_by_dataset.setdefault(name, []).append(node)
    return nodes_by_dataset
