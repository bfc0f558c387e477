"""A node's function: its name, the automatic name of its node, and the inputs that it takes."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from penstock.errors import InvalidNodeError, SignatureError
from penstock.pipeline.dataset_names import Names, sort_key

Shape: TypeAlias = "int | tuple[str, ...]"
"""How a node calls its function: the number of positional arguments, or the names of the keyword arguments."""

# A pipeline of 50,000 nodes often uses a few functions again and again, and reading a signature costs more than all
# the rest of making a node. The keys are weak, so that a function of an old notebook cell can be freed.
_order_by_shape: WeakKeyDictionary[FunctionType, dict[Shape, tuple[str, ...]]] = WeakKeyDictionary()


def function_name(func: Callable[..., Any]) -> str:
    """The function's own name; `<partial>` for a partial without one, the class name for other callables."""
    name = getattr(func, "__name__", None)
    if isinstance(name, str):
        return name
    return "<partial>" if isinstance(func, partial) else type(func).__name__


def checked_function(func: object, node_name: str | None) -> Callable[..., Any]:
    """The function, if it can be called.

    Raises:
        InvalidNodeError: It cannot.
    """
    if callable(func):
        return func
    node = repr(node_name) if node_name else "without a name"
    advice = "Write node(function, inputs, outputs)"
    raise InvalidNodeError(node, "func must be callable, but the type is", [type(func).__name__], advice)


def automatic_name(func: Callable[..., Any], inputs: Names, outputs: Names) -> str:
    """The name of a node without a given one, the same in every process: `double__1f0c9a3e`."""
    hashed = repr((_qualified_name(func), sort_key(inputs), sort_key(outputs)))
    return f"{_name_with_partials(func)}__{hashlib.sha256(hashed.encode()).hexdigest()[:8]}"


def _name_with_partials(func: Callable[..., Any]) -> str:
    """A partial is named after its function, also if it has that function's name: the two may stand in one pipeline."""
    if not isinstance(func, partial):
        return function_name(func)
    inner = func.func
    return f"partial({function_name(inner) if hasattr(inner, '__name__') else _name_with_partials(inner)})"


def _qualified_name(func: Callable[..., Any]) -> str:
    while isinstance(func, partial):
        func = func.func
    owner = func if hasattr(func, "__qualname__") else type(func)
    # A method of a built-in type, such as `str.upper`, has no module.
    return f"{getattr(owner, '__module__', '')}.{owner.__qualname__}"


def bound_order(func: Callable[..., Any], inputs: Sequence[str] | dict[str, str]) -> tuple[str, ...]:
    """The parameter names of a mapping in the order of the function's parameters; empty for a sequence.

    The signature is read without following `__wrapped__`: a decorated function is called with the decorator's arguments.

    Raises:
        SignatureError: The function cannot be called with these inputs.
        InvalidNodeError: The function is `async`.
    """
    shape: Shape = tuple(inputs) if isinstance(inputs, dict) else len(inputs)
    if type(func) is not FunctionType:
        return _bind(func, shape, inputs)
    known = _order_by_shape.setdefault(func, {})
    if shape not in known:
        known[shape] = _bind(func, shape, inputs)
    return known[shape]


def _bind(func: Callable[..., Any], shape: Shape, inputs: object) -> tuple[str, ...]:
    by_position, by_keyword = ((None,) * shape, ()) if isinstance(shape, int) else ((), shape)
    signature = _signature(func)
    if signature is None:
        return by_keyword
    _refuse_async(func)
    try:
        bound = signature.bind(*by_position, **{name: name for name in by_keyword})
    except TypeError:
        raise SignatureError(function_name(func), list(signature.parameters), inputs) from None
    return () if by_position else (*bound.args, *bound.kwargs.values())


def _refuse_async(func: Callable[..., Any]) -> None:
    called = (func, type(func).__call__)
    if any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in called):
        node, problem = (
            f"of the function {function_name(func)!r}",
            "an async function, and a node awaits nothing",
        )
        advice = "Write a function that calls `asyncio.run` with it"
        raise InvalidNodeError(node, problem, (), advice)


def _signature(func: Callable[..., Any]) -> inspect.Signature | None:
    if inspect.isbuiltin(func):
        return None
    try:
        return inspect.signature(func, follow_wrapped=False)
    except (TypeError, ValueError):
        # A type or a callable that is written in C and has no signature.
        return None
