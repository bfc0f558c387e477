"""Keys of tasks: Dask's dashboard shows one bar for each node, with the node's name.

Dask takes the word before the first `-` of a key as the *prefix* of the task (`dask.utils.key_split`): its bar, its colour, its
average duration, its label in metrics. A second word of exactly eight hex digits never becomes a part of the prefix. With the
parentheses and the index each node of each run has a *group* of its own (`distributed.utils.key_split_group`).
"""

from __future__ import annotations

import re
import secrets

MAX_NAME_LENGTH = 60
"""A longer name is cut in its key: Dask cannot spill the result of a key of over about 250 bytes to disk."""

_INVALID_CHARACTER = re.compile(r"[^\w.]")


def new_run_id() -> str:
    """Eight random hex digits: the keys of two runs differ, so that one run never gets the results of another."""
    return secrets.token_hex(4)


def task_key(name: str, run_id: str, index: int, kind: str = "") -> str:
    """The key of a task, for instance `(split_data@data_science-0f3a77c1-12)` or `(load:companies-0f3a77c1-3)`.

    Args:
        name: The full name of a node or dataset, its namespace in front.
        run_id: The result of `new_run_id`.
        index: A different number for each task of the run.
        kind: `load`, `save` and so on; empty for a task that calls a node.
    """
    prefix = f"{kind}:" if kind else ""
    shown = name if name.isidentifier() else _local_name_first(name)
    return f"({prefix}{shown[:MAX_NAME_LENGTH]}-{run_id}-{index})"


def _local_name_first(name: str) -> str:
    """The local name before the namespace, since the dashboard's bars show only twelve characters."""
    namespace, _, local = _INVALID_CHARACTER.sub("_", name).rpartition(".")
    return f"{local}@{namespace}" if namespace else local


def task_text(key: str) -> str:
    """The task of a key, for an error: `node data_science.split_data`, `load:companies`."""
    name = key.strip("()").partition("-")[0]
    if ":" in name:
        return name
    local, _, namespace = name.partition("@")
    return f"node {namespace}.{local}" if namespace else f"node {local}"
