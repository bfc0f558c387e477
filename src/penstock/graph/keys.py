"""Names of tasks, made so that Dask's dashboard shows one bar a node, with its name.

Dask takes the word before the first `-` of a key as its *prefix*: the bar, the colour, the average duration, the label of
the metrics (`dask.utils.key_split`). A second word of exactly eight hex digits never leaks into it. The parentheses and
the index give every node of every run a *group* of its own (`distributed.utils.key_split_group`).
"""

from __future__ import annotations

import re
import secrets

MAX_NAME_LENGTH = 60
"""Characters of a name that a key keeps; Dask cannot spill a key of over about 250 bytes to disk."""

_ODD = re.compile(r"[^\w.]")


def new_run_id() -> str:
    """Eight random hex digits that keep the keys of one run apart from those of every other run."""
    return secrets.token_hex(4)


def task_key(name: str, run: str, index: int, kind: str = "") -> str:
    """The key of a task, for instance `(split_data@data_science-0f3a77c1-12)` or `(load:companies-0f3a77c1-3)`.

    Args:
        name: The full name of a node or dataset, its namespace in front.
        run: What `new_run_id` gave.
        index: A number that no other task of this run has.
        kind: What the task does, if it does not call a node: `load`, `save` ...
    """
    prefix = f"{kind}:" if kind else ""
    return f"({prefix}{_local_name_first(name)}-{run}-{index})"


def _local_name_first(name: str) -> str:
    """The dashboard's bars show twelve characters, so what tells nodes apart comes first."""
    if name.isidentifier():
        return name[:MAX_NAME_LENGTH]
    namespace, _, local = name.rpartition(".")
    written = f"{_ODD.sub('_', local)}@{_ODD.sub('_', namespace)}" if namespace else _ODD.sub("_", local)
    return written[:MAX_NAME_LENGTH]


def told(key: str) -> str:
    """A task in words for an error: `node data_science.split_data`, `load:companies`."""
    name = key.strip("()").partition("-")[0]
    if ":" in name:
        return name
    local, _, namespace = name.partition("@")
    return f"node {namespace}.{local}" if namespace else f"node {local}"
