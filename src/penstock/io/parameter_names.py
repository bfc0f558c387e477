"""Parameters for a catalog: nested values under the names by which nodes read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def parameters(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Parameters under the names by which nodes read them, as in a Kedro project: for a catalog, beside datasets.

    Dicts are taken apart, at every depth, and so are dataclasses and models of pydantic. A catalog copies the values for each node.

    Args:
        values: The parameters by name. Names that are no strings become strings.

    Returns:
        All parameters as `parameters`, each one as `params:name`, and each part of it as `params:name.part`.

    Raises:
        TypeError: `values` is not a mapping.

    Example:
        >>> import penstock
        >>> penstock.parameters({"model": {"alpha": 1}})
        {'parameters': {'model': {'alpha': 1}}, 'params:model': {'alpha': 1}, 'params:model.alpha': 1}
        >>> catalog = penstock.DataCatalog({"table": [1, 2], **penstock.parameters({"model": {"alpha": 1}})})
        >>> catalog.load("params:model.alpha")
        1
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"parameters are a {type(values).__name__}; give a dict of values by name")
    return {"parameters": values, **dict(_named("params:", values.items()))}


def _named(prefix: str, values: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in values:
        yield f"{prefix}{name}", value
        yield from _named(f"{prefix}{name}.", _parts(value))


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, type):
        return ()
    is_plain = dataclasses.is_dataclass(value)
    names = [field.name for field in dataclasses.fields(value)] if is_plain else _model_fields(value)
    return [(name, getattr(value, name)) for name in names]


def _model_fields(value: Any) -> Iterable[str]:
    """The fields of a model of pydantic, which is not imported for it; other values have none."""
    fields = getattr(type(value), "model_fields", None)
    return fields if isinstance(fields, dict) else ()
