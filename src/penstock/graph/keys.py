"""Keys of tasks: Dask's dashboard shows one bar for each node, with the node's name.

Dask takes the word before the first `-` of a key as the *prefix* of the task (`dask.utils.key_split`): its bar, its colour, its
average duration, its label in metrics. A second word of exactly eight hex digits never becomes a part of the prefix. With the
parentheses and the index each node of each run has a *group* of its own (`distributed.utils.key_split_group`).

At each transition of a task, Dask's scheduler goes through all prefixes that the worker has to do: 4,000 nodes side by side with names
of their own cost 10 ms each. In a plan of more than `MAX_PREFIXES` names, the nodes of one function share its name as their prefix, the
loads share `load:`, and so on; the name of the node or dataset is then the third word of the key.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.pipeline.signature import function_name

if TYPE_CHECKING:
    from penstock._typing import NodeLike

MAX_PREFIXES = 200
"""With more names in a plan, tasks share prefixes."""

MAX_NAME_LENGTH = 60
"""A longer name is cut in its key: Dask spills a result to a file named after its key, and a file name has at most 255 bytes."""

MAX_NAME_BYTES = 45
"""The same for names that are not ASCII: each of their bytes takes three in the name of the file."""

MAX_SHARED_BYTES = 20
"""The same for the name of a function in front of the name of a node."""

_MAX_FUNCTIONS = MAX_PREFIXES - 6
"""How many functions have a prefix of their own, beside `node`, `load:`, `save:`, `pick:`, `confirm:` and `data:`."""

_INVALID_CHARACTER = re.compile(r"[^\w.]")


def new_run_id() -> str:
    """Eight random hex digits: the keys of two runs differ, so that one run never gets the results of another."""
    return secrets.token_hex(4)


def task_key(name: str, run_id: str, index: int, kind: str = "", shared: str = "") -> str:
    """The key of a task.

    Args:
        name: The full name of a node or dataset, its namespace in front.
        run_id: The result of `new_run_id`.
        index: A different number for each task of the run.
        kind: `load`, `save` and so on; empty for a task that calls a node.
        shared: The prefix that the task shares with others; empty if its name is its prefix.

    Example:
        >>> task_key("data_science.split_data", "0f3a77c1", 12)
        '(split_data@data_science-0f3a77c1-12)'
        >>> task_key("companies", "0f3a77c1", 3, "load")
        '(load:companies-0f3a77c1-3)'
        >>> task_key("companies", "0f3a77c1", 3, "load", shared="load:")
        '(load:-0f3a77c1-companies-3)'
        >>> task_key("data_science.split_data", "0f3a77c1", 12, shared="train_test_split")
        '(train_test_split-0f3a77c1-split_data@data_science-12)'
    """
    shown = name if name.isidentifier() else _local_name_first(name)
    shown = shown[:MAX_NAME_LENGTH] if shown.isascii() else _first_bytes(shown, MAX_NAME_BYTES)
    if shared:
        return f"({shared}-{run_id}-{shown}-{index})"
    prefix = f"{kind}:" if kind else ""
    return f"({prefix}{shown}-{run_id}-{index})"


def _local_name_first(name: str) -> str:
    """The local name before the namespace, since the dashboard's bars show only twelve characters."""
    namespace, _, local = _INVALID_CHARACTER.sub("_", name).rpartition(".")
    return f"{local}@{namespace}" if namespace else local


def _first_bytes(name: str, most: int) -> str:
    return name.encode()[:most].decode(errors="ignore")


def prefix_by_function(nodes: Iterable[NodeLike]) -> dict[int, str]:
    """The prefixes of nodes that share them.

    Returns:
        The name of each function, by the function's identity. If there are too many names, the rarest are `node`.
    """
    functions = [node.func for node in nodes]
    # By identity, since a callable need not be hashable.
    counts = Counter(map(id, functions))
    name_by_function = {
        id(each): _function_prefix(each) for each in {id(each): each for each in functions}.values()
    }
    nodes_by_name: Counter[str] = Counter()
    for function, count in counts.items():
        nodes_by_name[name_by_function[function]] += count
    frequent = {name for name, _ in nodes_by_name.most_common(_MAX_FUNCTIONS)}
    return {function: name if name in frequent else "node" for function, name in name_by_function.items()}


def _function_prefix(function: Any) -> str:
    while isinstance(function, partial) and not hasattr(function, "__name__"):
        function = function.func
    name = _INVALID_CHARACTER.sub("_", function_name(function).strip("<>"))
    return name[:MAX_NAME_LENGTH] if name.isascii() else _first_bytes(name, MAX_SHARED_BYTES)


def count_prefixes(keys: Iterable[str]) -> int:
    """How many prefixes Dask sees in the keys."""
    return len({key.partition("-")[0] for key in keys})


def task_text(key: str) -> str:
    """The task of a key, for an error: `node data_science.split_data`, `load:companies`."""
    prefix, _, *words = key.strip("()").split("-")
    is_shared = len(words) > 1
    kind, _, own = prefix.rpartition(":")
    name = words[0] if is_shared else own
    if kind:
        return f"{kind}:{name}"
    local, _, namespace = name.partition("@")
    return f"node {namespace}.{local}" if namespace else f"node {local}"
