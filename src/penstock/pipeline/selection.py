"""Selecting nodes of a pipeline: by name, tag, namespace or dataset, and what comes before or after them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, TypeVar

from penstock._similar import similar_names
from penstock.errors import SelectionError
from penstock.pipeline.topology import Links, reachable

if TYPE_CHECKING:
    from penstock.pipeline.node import Node

_Selected = TypeVar("_Selected", bound="Selectable")


@dataclass(frozen=True)
class Selector:
    """Finds nodes of one pipeline; each method returns the names of the nodes.

    Attributes:
        nodes: All nodes.
        links: The parents and children of each node.
        consumers: The nodes that take each dataset; under its name without format, those that take it in any format.
        producers: The same for the nodes that produce it.
    """

    nodes: list[Node]
    links: Links
    consumers: Mapping[str, list[str]]
    producers: Mapping[str, list[str]]

    def named(self, names: Iterable[str]) -> set[str]:
        """The nodes with these full names.

        Raises:
            SelectionError: The pipeline does not have some of them.
        """
        known = {node.name for node in self.nodes}
        names = set(names)
        missing = sorted(map(str, names - known))
        if missing:
            problem = "the pipeline has no nodes with these names"
            raise SelectionError(
                problem, missing, _full_names(known, missing) or similar_names(missing, known)
            )
        return names

    def tagged(self, tags: Iterable[str]) -> set[str]:
        """The nodes that have any of the tags."""
        wanted = set(tags)
        return {node.name for node in self.nodes if not wanted.isdisjoint(node.tags)}

    def in_namespaces(self, namespaces: Iterable[str]) -> set[str]:
        """The nodes in these namespaces, or in namespaces inside them.

        Raises:
            SelectionError: Some of the namespaces have no node.
        """
        nodes_by_namespace = defaultdict(set)
        for node in self.nodes:
            for namespace in node.namespace_prefixes:
                nodes_by_namespace[namespace].add(node.name)
        wanted = set(namespaces)
        missing = sorted(map(str, wanted - nodes_by_namespace.keys()))
        if missing:
            problem = "the pipeline has no nodes in these namespaces"
            raise SelectionError(problem, missing, sorted(nodes_by_namespace))
        return set().union(*(nodes_by_namespace[namespace] for namespace in wanted))

    def consuming(self, datasets: Iterable[str]) -> set[str]:
        """The nodes that take any of the datasets; a name without format means all formats.

        Raises:
            SelectionError: The pipeline does not have some of them.
        """
        return self._linked_to(datasets, self.consumers)

    def producing(self, datasets: Iterable[str]) -> set[str]:
        """The nodes that produce any of the datasets; a name without format means all formats.

        Raises:
            SelectionError: The pipeline does not have some of them.
        """
        return self._linked_to(datasets, self.producers)

    def downstream(self, names: Iterable[str]) -> set[str]:
        """These nodes, and all that depend on them."""
        return reachable(names, self.links.children)

    def upstream(self, names: Iterable[str]) -> set[str]:
        """These nodes, and all that they depend on."""
        return reachable(names, self.links.parents)

    def from_nodes(self, names: Iterable[str]) -> set[str]:
        """The nodes with these names, and all that depend on them; see `named` for errors."""
        return self.downstream(self.named(names))

    def to_nodes(self, names: Iterable[str]) -> set[str]:
        """The nodes with these names, and all that they depend on; see `named` for errors."""
        return self.upstream(self.named(names))

    def from_inputs(self, datasets: Iterable[str]) -> set[str]:
        """The nodes that take these datasets, and all that depend on them; see `consuming` for errors."""
        return self.downstream(self.consuming(datasets))

    def to_outputs(self, datasets: Iterable[str]) -> set[str]:
        """The nodes that produce these datasets, and all that they depend on; see `producing` for errors."""
        return self.upstream(self.producing(datasets))

    def _linked_to(self, datasets: Iterable[str], nodes_by_dataset: Mapping[str, list[str]]) -> set[str]:
        wanted = set(datasets)
        known = self.consumers.keys() | self.producers.keys()
        missing = sorted(map(str, wanted - known))
        if missing:
            problem = "the pipeline has no datasets with these names"
            raise SelectionError(problem, missing, similar_names(missing, known))
        return set().union(*(nodes_by_dataset.get(name, ()) for name in wanted))


class Selectable(ABC):
    """The methods of `Pipeline` that select some of its nodes."""

    @property
    @abstractmethod
    def _selector(self) -> Selector: ...

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
        return self._subset(self._selector.named(names))

    def only_nodes_with_tags(self: _Selected, *tags: str) -> _Selected:
        """The nodes that have any of these tags.

        Args:
            *tags: Tags; no node needs to have them.

        Returns:
            A pipeline of these nodes.

        Example:
            >>> from penstock.pipeline import node, pipeline
            >>> whole = pipeline([node(len, "a", "b", tags="daily"), node(str, "b", "c", name="show")])
            >>> whole.only_nodes_with_tags("daily", "weekly").outputs()
            {'b'}
        """
        return self._subset(self._selector.tagged(tags))

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
        return self._subset(self._selector.in_namespaces(as_list(node_namespaces)))

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
        return self._subset(self._selector.consuming(datasets))

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
        return self._subset(self._selector.producing(datasets))

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
        return self._subset(self._selector.from_inputs(datasets))

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
        return self._subset(self._selector.to_outputs(datasets))

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
        return self._subset(self._selector.from_nodes(names))

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
        return self._subset(self._selector.to_nodes(names))

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
        selector = self._selector
        selections = [
            (tags, selector.tagged),
            (from_nodes, selector.from_nodes),
            (to_nodes, selector.to_nodes),
            (node_names, selector.named),
            (from_inputs, selector.from_inputs),
            (to_outputs, selector.to_outputs),
            (node_namespaces, selector.in_namespaces),
        ]
        choices = [select(names) for wanted, select in selections if (names := as_list(wanted))]
        return self._subset(in_all({node.name for node in selector.nodes}, choices))


def as_list(names: Iterable[str] | None) -> list[str]:
    """One name or several as a list."""
    return [names] if isinstance(names, str) else list(names or ())


def in_all(names: set[str], choices: Iterable[set[str]]) -> set[str]:
    """The names that are in every choice.

    Raises:
        SelectionError: There are none.
    """
    chosen = reduce(set.intersection, choices, names)
    if not chosen:
        raise SelectionError("the pipeline has no nodes after applying all filters", [])
    return chosen


def _full_names(known: set[str], missing: list[str]) -> list[str]:
    """The full names of nodes in namespaces whose last parts are among the missing names."""
    wanted = set(missing)
    return sorted(name for name in known if not wanted.isdisjoint(_endings(name)))


def _endings(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(1, len(parts))]
