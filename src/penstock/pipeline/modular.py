"""Using the same nodes again: with other names for their datasets, and inside a namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import starmap
from typing import TYPE_CHECKING, TypeAlias

from penstock._similar import similar_names
from penstock.errors import PipelineError
from penstock.pipeline.dataset_names import ALL_PARAMETERS, PARAMETER_PREFIX
from penstock.pipeline.transcoding import base_name, split

if TYPE_CHECKING:
    from penstock.pipeline.node import Node

NewNames: TypeAlias = str | Iterable[str] | Mapping[str, str] | None
"""A mapping of old names to new ones. One name, or several, without a mapping: these names stay as they are."""


@dataclass(frozen=True)
class Renaming:
    """The rules by which datasets and nodes get new names.

    Args:
        inputs: New names for free inputs.
        outputs: New names for datasets that the pipeline produces.
        parameters: New names for parameters, with or without `params:`.
        namespace: The prefix of nodes, and of datasets and parameters without a new name.
        prefix_datasets: Whether datasets and parameters get the prefix.
    """

    inputs: NewNames = None
    outputs: NewNames = None
    parameters: NewNames = None
    namespace: str | None = None
    prefix_datasets: bool = True

    @cached_property
    def mapping(self) -> dict[str, str]:
        """The new names by the old ones."""
        named = {**_mapping(self.inputs), **_mapping(self.outputs)}
        return {**named, **dict(starmap(_parameter, _mapping(self.parameters).items()))}

    def __bool__(self) -> bool:
        given = (self.inputs, self.outputs, self.parameters)
        return bool(self.namespace) or any(names is not None for names in given)

    def apply(self, nodes: list[Node]) -> list[Node]:
        """The renamed nodes.

        Raises:
            PipelineError: A mapped name is not among the datasets of these nodes, or is listed under the wrong argument.
        """
        self._check(nodes)
        return [node.renamed(self.new_name, self._nested(node.namespace)) for node in nodes]

    def new_name(self, name: str) -> str:
        """The new name of a dataset; the first rule that fits decides."""
        if name in self.mapping:
            return self.mapping[name]
        if name == ALL_PARAMETERS:
            return name
        base, fmt = split(name)
        if base in self.mapping:
            return self.mapping[base] + fmt
        if not (self.namespace and self.prefix_datasets):
            return name
        if name.startswith(PARAMETER_PREFIX):
            return f"{PARAMETER_PREFIX}{self.namespace}.{name.removeprefix(PARAMETER_PREFIX)}"
        return f"{self.namespace}.{name}"

    def _nested(self, namespace: str | None) -> str | None:
        return ".".join(filter(None, (self.namespace, namespace))) or None

    def _check(self, nodes: list[Node]) -> None:
        taken = {name for node in nodes for name in node.inputs}
        outputs = {name for node in nodes for name in node.outputs}
        _check_known(self.mapping, taken | outputs)
        produced, inputs = set(map(base_name, outputs)), _mapping(self.inputs)
        wrong = list(filter(_is_parameter, inputs))
        _refuse(wrong, "inputs list parameters", "List them under parameters")
        wrong = [name for name in inputs if base_name(name) in produced]
        _refuse(wrong, "inputs list datasets that a node of the pipeline produces", "List them under outputs")
        wrong = [name for name in _mapping(self.outputs) if base_name(name) not in produced]
        advice = "List free inputs under inputs, and parameters under parameters"
        _refuse(wrong, "outputs list datasets that no node of the pipeline produces", advice)


def _mapping(names: NewNames) -> dict[str, str]:
    if isinstance(names, str):
        return {names: names}
    if isinstance(names, Mapping):
        return dict(names)
    return {name: name for name in names or ()}


def _is_parameter(name: str) -> bool:
    return name == ALL_PARAMETERS or name.startswith(PARAMETER_PREFIX)


def _parameter(old: str, new: str) -> tuple[str, str]:
    """The old and the new name of a parameter, with `params:`. `parameters` stands for all of them, in every namespace."""
    if old == ALL_PARAMETERS:
        return old, old
    return _with_prefix(old), _with_prefix(new)


def _with_prefix(name: str) -> str:
    return PARAMETER_PREFIX + name.removeprefix(PARAMETER_PREFIX)


def _check_known(mapping: Iterable[str], existing: set[str]) -> None:
    missing = sorted(set(mapping) - existing - set(map(base_name, existing)))
    if missing:
        close = similar_names(missing, existing)
        advice = f"Did you mean {', '.join(close)}?" if close else "`datasets()` lists all datasets"
        raise PipelineError("the pipeline has no datasets with these names", missing, advice)


def _refuse(names: list[str], problem: str, advice: str) -> None:
    if names:
        raise PipelineError(problem, sorted(names), advice)
