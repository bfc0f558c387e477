"""The steps of a node, with their hooks: load inputs, call the function, save outputs, confirm.

The tasks of a graph use them, and so does `penstock.runner.Task`, which runs one node without a graph.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from concurrent.futures import Future, as_completed
from typing import TYPE_CHECKING, Any

from penstock._threads import ContextPool
from penstock.errors import InvalidNodeError

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, NodeLike
    from penstock.hooks import Hooks
    from penstock.tasks.backend import Context


Seconds = tuple[float, float, float]
"""The seconds to load, to call and to save."""


def check_no_generators(nodes: Iterable[NodeLike]) -> None:
    """Check, for a run with `is_async`, that no node's function is a generator: its outputs are saved chunk by chunk.

    Raises:
        InvalidNodeError: Names all nodes whose function is one.
    """
    names = sorted(node.name for node in nodes if inspect.isgeneratorfunction(node.func))
    if names:
        raise InvalidNodeError(
            ", ".join(names),
            "a generator function, whose outputs are saved chunk by chunk, cannot run with is_async",
            (),
            "Run without is_async",
        )


def load_dataset(
    load: Callable[[str], Data],
    name: str,
    node: NodeLike,
    hooks: Hooks,
    has_begun: bool = False,  # noqa: FBT001, FBT002 - keywords take longer
) -> Data:
    """The data that `load` returns; the hooks before and after a load fire, the one before unless it `has_begun`."""
    if hooks.before_dataset_loaded is not None and not has_begun:
        hooks.before_dataset_loaded(dataset_name=name, node=node)
    data = load(name)
    if hooks.after_dataset_loaded is not None:
        hooks.after_dataset_loaded(dataset_name=name, data=data, node=node)
    return data


def save_dataset(
    save: Callable[[str, Data], Data], name: str, data: Data, node: NodeLike, hooks: Hooks
) -> Data:
    """The value that `save` returns; the hooks before and after a save fire."""
    if hooks.before_dataset_saved is not None:
        hooks.before_dataset_saved(dataset_name=name, data=data, node=node)
    saved = save(name, data)
    if hooks.after_dataset_saved is not None:
        hooks.after_dataset_saved(dataset_name=name, data=data, node=node)
    return saved


def load_in_threads(load: Callable[[str], Data], names: list[str]) -> dict[str, Data]:
    """The data that `load` returns for each name; each load has a thread of its own."""
    with ContextPool(len(names) or 1) as pool:
        return dict(zip(names, pool.map(load, names), strict=True))


def save_in_threads(
    save: Callable[[str, Data], Data], outputs: dict[str, Data], node: NodeLike, hooks: Hooks
) -> dict[str, Data]:
    """The value that `save` returns for each output; each save has a thread of its own, and hooks fire in the calling thread."""
    with ContextPool(len(outputs) or 1) as pool:
        name_by_save: dict[Future[Data], str] = {}
        for name, data in outputs.items():
            if hooks.before_dataset_saved is not None:
                hooks.before_dataset_saved(dataset_name=name, data=data, node=node)
            name_by_save[pool.submit(save, name, data)] = name
        saved = {}
        for future in as_completed(name_by_save):
            name = name_by_save[future]
            saved[name] = future.result()
            if hooks.after_dataset_saved is not None:
                hooks.after_dataset_saved(dataset_name=name, data=outputs[name], node=node)
    return saved


def save_streams(
    save: Callable[[str, Data], Data], streams: dict[str, Iterable[Data]], node: NodeLike, hooks: Hooks
) -> None:
    """Save the first chunk of each stream, then the second of each, until one ends. A chunk is freed before the next is made."""
    chunks = {name: iter(stream) for name, stream in streams.items()}

    def save_next(name: str) -> bool:
        for chunk in chunks[name]:
            save_dataset(save, name, chunk, node, hooks)
            return True
        return False

    while chunks and all(map(save_next, chunks)):
        pass


def call_node(
    node: NodeLike, inputs: dict[str, Data], catalog: CatalogLike | None, hooks: Hooks, context: Context
) -> dict[str, Data]:
    """The node's outputs by name; the three node hooks fire.

    Raises:
        TypeError: A `before_node_run` hook returned neither a dict nor None.
    """
    if not hooks.for_nodes:
        return node.run(inputs)
    arguments = {"node": node, "catalog": catalog, "is_async": context.is_async, "run_id": context.run_id}
    if hooks.before_node_run is not None:
        inputs |= _replacements(node, hooks.before_node_run(inputs=inputs.copy(), **arguments))
    try:
        outputs = node.run(inputs)
    except Exception as error:
        if hooks.on_node_error is not None:
            hooks.on_node_error(error=error, inputs=inputs, **arguments)
        raise
    if hooks.after_node_run is not None:
        hooks.after_node_run(inputs=inputs, outputs=outputs, **arguments)
    return outputs


def confirm_datasets(catalog: CatalogLike, node: NodeLike) -> None:
    """Confirm the datasets that the node confirms, in their order."""
    for name in node.confirms:
        catalog.confirm(name)


def _replacements(node: NodeLike, results: Iterable[Any] | None) -> dict[str, Data]:
    """The inputs that hooks replace. The plugin that was registered first wins, which pluggy lists last."""
    replacements: dict[str, Data] = {}
    for result in results or ():
        if result is None:
            continue
        if not isinstance(result, dict):
            raise TypeError(
                f"A before_node_run hook of node {node.name!r} returned a {type(result).__name__}; "
                "return a dict of the inputs to replace, or None"
            )
        replacements.update(result)
    return replacements
