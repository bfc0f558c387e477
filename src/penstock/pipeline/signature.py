"""What a node's function is called and which inputs it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from penstock.errors import SignatureError

Shape: TypeAlias = "int | tuple[str, ...]"
"""How a function is called: with so many arguments by position, or with these by keyword."""

# A pipeline of 50,000 nodes is often a few functions used again and again, and reading a signature costs more
# than all the rest of making a node. Weak, so that a function of a closed notebook cell can go.
_known: WeakKeyDictionary[FunctionType, dict[Shape, tuple[str, ...]]] = WeakKeyDictionary()


def function_name(func: Callable[..., Any]) -> str:
    """The name that people know the function by; `<partial>` for a partial without one, else its class."""
    name = getattr(func, "__name__", None)
    if isinstance(name, str):
        return name
    return "<partial>" if isinstance(func, partial) else type(func).__name__


def inner_name(func: Callable[..., Any]) -> str:
    """The name for an automatic node name: like `function_name`, and a partial says what it is made of."""
    if isinstance(func, partial) and not hasattr(func, "__name__"):
        return f"partial({inner_name(func.func)})"
    return function_name(func)


def identity(func: Callable[..., Any]) -> str:
    """The function's module and qualified name, which are the same in every process."""
    while isinstance(func, partial):
        func = func.func
    owner = func if hasattr(func, "__qualname__") else type(func)
    # A method of a built-in type, such as `str.upper`, has no module.
    return f"{getattr(owner, '__module__', '')}.{owner.__qualname__}"


def bound_order(func: Callable[..., Any], inputs: Sequence[str] | dict[str, str]) -> tuple[str, ...]:
    """The parameter names of a mapping in the order in which the function takes them; empty for a sequence.

    The signature is read without following `__wrapped__`: what counts is what the function can be called with.

    Raises:
        SignatureError: The function cannot be called with these inputs.
    """
    shape: Shape = tuple(inputs) if isinstance(inputs, dict) else len(inputs)
    if type(func) is not FunctionType:
        return _bind(func, shape, inputs)
    known = _known.setdefault(func, {})
    if shape not in known:
        known[shape] = _bind(func, shape, inputs)
    return known[shape]


def _bind(func: Callable[..., Any], shape: Shape, inputs: object) -> tuple[str, ...]:
    by_position, by_keyword = ((None,) * shape, ()) if isinstance(shape, int) else ((), shape)
    signature = _signature(func)
    if signature is None:
        return by_keyword
    try:
        bound = signature.bind(*by_position, **{name: name for name in by_keyword})
    except TypeError:
        raise SignatureError(function_name(func), list(signature.parameters), inputs) from None
    return () if by_position else (*bound.args, *bound.kwargs.values())


def _signature(func: Callable[..., Any]) -> inspect.Signature | None:
    if inspect.isbuiltin(func):
        return None
    try:
        return inspect.signature(func, follow_wrapped=False)
    except (TypeError, ValueError):
        # A type or a callable that is written in C and tells nothing about its arguments.
        return None
