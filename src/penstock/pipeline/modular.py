"""The same nodes for another use: datasets mapped to other names, and put into a namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

from penstock.errors import PipelineError
from penstock.pipeline.transcoding import base_name, split

if TYPE_CHECKING:
    from penstock.pipeline.node import Node

Mapped: TypeAlias = "str | Iterable[str] | Mapping[str, str] | None"
"""New names by old ones; a name, or several, that are not in a mapping stay as they are."""

PARAMETERS = "parameters"
PREFIX = "params:"


@dataclass(frozen=True)
class Renaming:
    """What the names of datasets become.

    Args:
        inputs: New names for free inputs.
        outputs: New names for datasets that the pipeline produces.
        parameters: New names for parameters, with or without `params:`.
        namespace: The prefix of nodes, and of what has no new name.
        prefix_datasets: Whether datasets and parameters get the prefix, too.
    """

    inputs: Mapped = None
    outputs: Mapped = None
    parameters: Mapped = None
    namespace: str | None = None
    prefix_datasets: bool = True
    mapping: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        named = {**_mapping(self.inputs), **_mapping(self.outputs)}
        parameters = {_parameter(old): _parameter(new) for old, new in _mapping(self.parameters).items()}
        # All parameters together have one name everywhere.
        parameters.pop(PARAMETERS, None)
        object.__setattr__(self, "mapping", {**named, **parameters})

    def __bool__(self) -> bool:
        given = (self.inputs, self.outputs, self.parameters)
        return bool(self.namespace) or any(names is not None for names in given)

    def apply(self, nodes: list[Node]) -> list[Node]:
        """The renamed nodes.

        Raises:
            PipelineError: A mapped name is not among the datasets of these nodes, or stands under the wrong argument.
        """
        self._check(nodes)
        return [node._renamed(self.new_name, self._inside(node.namespace)) for node in nodes]

    def new_name(self, name: str) -> str:
        """What a dataset is called afterwards; the first rule that fits wins."""
        if name in self.mapping:
            return self.mapping[name]
        if name == PARAMETERS:
            return name
        base, fmt = split(name)
        if base in self.mapping:
            return self.mapping[base] + fmt
        if not (self.namespace and self.prefix_datasets):
            return name
        if name.startswith(PREFIX):
            return f"{PREFIX}{self.namespace}.{name.removeprefix(PREFIX)}"
        return f"{self.namespace}.{name}"

    def _inside(self, namespace: str | None) -> str | None:
        return ".".join(filter(None, (self.namespace, namespace))) or None

    def _check(self, nodes: list[Node]) -> None:
        taken = {name for node in nodes for name in node.inputs}
        given = {name for node in nodes for name in node.outputs}
        _check_known(self.mapping, taken | given)
        produced = set(map(base_name, given))
        _refuse(
            _mapping(self.inputs),
            lambda name: name == PARAMETERS or name.startswith(PREFIX),
            "parameters are listed under inputs",
            "List them under parameters",
        )
        _refuse(
            _mapping(self.inputs),
            lambda name: base_name(name) in produced,
            "inputs that a node of the pipeline produces",
            "List them under outputs",
        )
        _refuse(
            _mapping(self.outputs),
            lambda name: base_name(name) not in produced,
            "outputs that no node of the pipeline produces",
            "List free inputs under inputs, and parameters under parameters",
        )


def _mapping(names: Mapped) -> dict[str, str]:
    if isinstance(names, str):
        return {names: names}
    if isinstance(names, Mapping):
        return dict(names)
    return {name: name for name in names or ()}


def _parameter(name: str) -> str:
    return name if name == PARAMETERS or name.startswith(PREFIX) else PREFIX + name


def _check_known(mapping: Iterable[str], existing: set[str]) -> None:
    missing = sorted(set(mapping) - existing - set(map(base_name, existing)))
    if missing:
        close = dict.fromkeys(
            match for name in missing for match in get_close_matches(name, sorted(existing))
        )
        advice = f"Did you mean {', '.join(close)}?" if close else "`datasets()` lists what there is"
        raise PipelineError("cannot rename what the pipeline does not have", missing, advice)


def _refuse(names: Iterable[str], is_wrong: Callable[[str], bool], problem: str, advice: str) -> None:
    wrong = sorted(filter(is_wrong, names))
    if wrong:
        raise PipelineError(problem, wrong, advice)
