"""The steps of a node, with their hooks: load its inputs, call it, save its outputs, confirm.

`penstock.tasks.dataset_tasks` takes them inside the tasks of a graph, `penstock.runner.Task` by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from concurrent.futures import Future, as_completed
from typing import TYPE_CHECKING, Any

from penstock._pickling import why_not_sendable
from penstock._threads import ContextPool
from penstock.errors import CannotSendError, DatasetError, InvalidNodeError
from penstock.io.memory import inferred_copy_mode

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, NodeLike
    from penstock.hooks import Hooks
    from penstock.tasks.backend import Context


Seconds = tuple[float, float, float]
"""To load, to call, to save."""


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


def load_dataset(load: Callable[[str], Data], name: str, node: NodeLike, hooks: Hooks) -> Data:
    """What `load` gives for the name, with its two hooks around it."""
    if hooks.before_dataset_loaded is not None:
        hooks.before_dataset_loaded(dataset_name=name, node=node)
    data = load(name)
    if hooks.after_dataset_loaded is not None:
        hooks.after_dataset_loaded(dataset_name=name, data=data, node=node)
    return data


def save_dataset(
    save: Callable[[str, Data], Data], name: str, data: Data, node: NodeLike, hooks: Hooks
) -> Data:
    """What `save` returns, with its two hooks around it."""
    if hooks.before_dataset_saved is not None:
        hooks.before_dataset_saved(dataset_name=name, data=data, node=node)
    saved = save(name, data)
    if hooks.after_dataset_saved is not None:
        hooks.after_dataset_saved(dataset_name=name, data=data, node=node)
    return saved


def load_at_once(load: Callable[[str], Data], names: list[str]) -> dict[str, Data]:
    """What `load` gives for each name, in as many threads."""
    if not names:
        return {}
    with ContextPool(len(names)) as pool:
        return dict(zip(names, pool.map(load, names), strict=True))


def save_at_once(
    save: Callable[[str, Data], Data], outputs: dict[str, Data], node: NodeLike, hooks: Hooks
) -> dict[str, Data]:
    """What `save` returned for each output, saved in as many threads; the hooks fire in this one."""
    if not outputs:
        return {}
    with ContextPool(len(outputs)) as pool:
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
    """Save the first chunk of each stream, then the second of each, until the shortest ends."""
    for chunks in zip(*streams.values(), strict=False):
        for name, chunk in zip(streams, chunks, strict=True):
            save_dataset(save, name, chunk, node, hooks)


def call_node(
    node: NodeLike, inputs: dict[str, Data], catalog: CatalogLike | None, hooks: Hooks, context: Context
) -> dict[str, Data]:
    """The node's outputs by name; the three node hooks fire.

    Raises:
        TypeError: A `before_node_run` hook returned something else than a dict or None.
    """
    if not hooks.for_nodes:
        return node.run(inputs)
    about: dict[str, Any] = {
        "node": node,
        "catalog": catalog,
        "is_async": context.is_async,
        "run_id": context.run_id,
    }
    if hooks.before_node_run is not None:
        inputs |= _replacements(node, hooks.before_node_run(inputs=inputs.copy(), **about))
    try:
        outputs = node.run(inputs)
    except Exception as error:
        if hooks.on_node_error is not None:
            hooks.on_node_error(error=error, inputs=inputs, **about)
        raise
    if hooks.after_node_run is not None:
        hooks.after_node_run(inputs=inputs, outputs=outputs, **about)
    return outputs


def confirm_datasets(catalog: CatalogLike, node: NodeLike) -> None:
    """Confirm the datasets that the node confirms, in their order."""
    for name in node.confirms:
        catalog.confirm(name)


def _replacements(node: NodeLike, answers: Iterable[Any] | None) -> dict[str, Data]:
    """Later answers win; pluggy lists the plugin that was registered first last."""
    replacements: dict[str, Data] = {}
    for answer in answers or ():
        if answer is None:
            continue
        if not isinstance(answer, dict):
            raise TypeError(
                f"A before_node_run hook of node {node.name!r} returned a {type(answer).__name__}; "
                "return a dict of the inputs to replace, or None"
            )
        replacements.update(answer)
    return replacements


def check_can_travel(node: NodeLike, values: Iterable[Data]) -> None:
    """Refuse what a cluster could not move to a reader on another worker: Dask would try for ever, in silence.

    Arrays and frames are not looked into, since they can always travel.

    Raises:
        CannotSendError: Names the outputs, and why.
    """
    reasons = {
        f"output {name!r} of node {node.name!r}": why_not_sendable(value)
        for name, value in zip(node.outputs, values, strict=True)
        if type(value) not in _TRAVELS and inferred_copy_mode(value) != "copy"
    }
    refused = {name: reason for name, reason in reasons.items() if reason is not None}
    if refused:
        raise CannotSendError(refused)


_TRAVELS = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})


def raise_named(name: str, error: Exception) -> None:
    """Raise a dataset's error with the dataset's name in front, as a catalog does, unless a catalog has.

    One of a class of its own stays what it is: that of Kedro's validators says which dataset it is about.
    """
    if type(error).__name__ == DatasetError.__name__ and not str(error).startswith(f"{name}: "):
        raise DatasetError(f"{name}: {error}") from error
