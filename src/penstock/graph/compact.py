"""How small objects travel that are sent with every task: as their class and the arguments that are no defaults."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any


def reduced(self: Any) -> tuple[type, tuple[Any, ...]]:
    """For `__reduce__` of a dataclass: without the names of its fields, and without defaults at the end."""
    cls: Any = type(self)
    values = [(getattr(self, name), default) for name, default in _fields(cls)]
    while values and values[-1][0] is values[-1][1]:
        values.pop()
    return cls, tuple([value for value, _ in values])


@functools.cache
def _fields(cls: type) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in fields(cls) if field.init)
