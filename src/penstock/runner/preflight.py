"""Checks before the first task, so that a run that cannot succeed fails at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from penstock._pickling import why_not_sendable
from penstock._similar import misspelt
from penstock.errors import CannotSendError, DatasetError, DatasetNotFoundError, RunnerError
from penstock.graph.datasets import as_catalog
from penstock.io.kedro_objects import (
    inner_dataset,
    is_cached,
    missing_file,
    pickling_caches_quietly,
    release_cache,
    release_file_cache,
)

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, DatasetLike, NodeLike, PipelineLike
    from penstock.hooks import Hooks
    from penstock.tasks.policy import NodePolicy


def checked_arguments(pipeline: Any, catalog: Any, hook_manager: Any) -> CatalogLike:
    """Check the types of the arguments of `run`: arguments in the wrong order would fail late, with an unclear error.

    Returns:
        The catalog; of a mapping, a catalog that has its datasets and data.

    Raises:
        RunnerError: Names every argument of a wrong type.
    """
    problems = []
    if isinstance(pipeline, type) or not hasattr(pipeline, "grouped_nodes"):
        problems.append(f"the pipeline is {kind_of(pipeline)}: make one with pipeline([...])")
    if isinstance(catalog, type) or not (hasattr(catalog, "load") or isinstance(catalog, Mapping)):
        problems.append(
            f"the catalog is {kind_of(catalog)}: make one with DataCatalog({{...}}), or give a dict"
        )
    if hook_manager is not None and not hasattr(hook_manager, "hook"):
        problems.append(
            f"the hook manager is {kind_of(hook_manager)}: make one with create_hook_manager([...]), or call penstock.run"
        )
    if problems:
        raise RunnerError("; ".join(problems))
    return as_catalog(catalog)


def warn_of_no_nodes(pipeline: PipelineLike, log: logging.Logger) -> None:
    """Log a warning if there is nothing to run, for instance since a selection named a misspelt tag."""
    if not pipeline.nodes:
        log.warning("The pipeline has no node: nothing runs")


def warn_of_datasets(pipeline: PipelineLike, catalog: CatalogLike, log: logging.Logger) -> None:
    """Log a warning of files that the run will load and that are not there, and of outputs whose names look misspelt."""
    paths = {name: missing_file(catalog.get(name)) for name in sorted(pipeline.inputs())}
    missing = ", ".join(f"{name} ({path})" for name, path in paths.items() if path is not None)
    if missing:
        log.warning("Files that the run will load are not on this machine: %s", missing)
    for name, meant in _misspelt_outputs(pipeline, catalog):
        log.warning(
            "The output %r is read by no node, and the catalog does not have it. Did you mean %r, which the catalog has "
            "and no node uses?",
            name,
            meant,
        )


def _misspelt_outputs(pipeline: PipelineLike, catalog: CatalogLike) -> list[tuple[str, str]]:
    """The outputs that the catalog lacks, each with a dataset of nearly its name that no node uses."""
    lacking = [name for name in pipeline.outputs() if name not in catalog]
    unused = set(catalog.keys()) - pipeline.datasets() if lacking and hasattr(catalog, "keys") else ()
    return misspelt(lacking, unused) if unused else []


def checked_flag(name: str, value: object) -> bool:
    """The value of a boolean argument. Texts are refused, since `"no"` from a command line would count as true.

    Raises:
        RunnerError: The value is not a boolean.
    """
    if not isinstance(value, bool):
        raise RunnerError(f"{name} is {value!r}; give True or False")
    return value


def check_confirms(nodes: Iterable[NodeLike], catalog: CatalogLike) -> None:
    """Check that the catalog has each dataset that a node confirms, and that it has a method `confirm`.

    Raises:
        DatasetError: Names all datasets without that method.
        DatasetNotFoundError: Names all datasets, if the catalog has none of them.
    """
    confirmed = [(name, node, catalog.get(name)) for node in nodes for name in node.confirms]
    wrong = [entry for entry in confirmed if not callable(getattr(entry[2], "confirm", None))]
    if not wrong:
        return
    reasons = [
        f"{name!r} of node {node.name!r} ({_why_not_confirmable(dataset)})" for name, node, dataset in wrong
    ]
    error = DatasetNotFoundError if all(dataset is None for _, _, dataset in wrong) else DatasetError
    raise error(
        f"These datasets cannot be confirmed: {', '.join(reasons)}. Register a dataset with a method `confirm`, "
        "or remove `confirms` from the node"
    )


def _why_not_confirmable(dataset: DatasetLike | None) -> str:
    if dataset is None:
        return "the catalog does not have it"
    return f"a {type(dataset).__name__} has no method `confirm`"


def kind_of(thing: object) -> str:
    """The thing's class in words, for errors."""
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"


def warn_of_placements(policies: Mapping[str, NodePolicy], runner: str, log: logging.Logger) -> None:
    """Warn of the fields of policies that say on which workers of a cluster nodes run, on a runner that has none."""
    placements = {name: ", ".join(policy.placement) for name, policy in policies.items()}
    ignored = "; ".join(f"{name}: {fields}" for name, fields in placements.items() if fields)
    if ignored:
        log.warning("%s ignores these policies, which only a cluster can follow: %s", runner, ignored)


def check_can_be_sent(pipeline: PipelineLike, catalog: CatalogLike, hooks: Hooks) -> None:
    """Check that the nodes, their datasets and the hook plugins can be sent to other processes.

    Raises:
        CannotSendError: Names all that cannot be sent, each with the reason.
    """
    things = {f"node {node.name!r}": node for node in pipeline.nodes}
    datasets = {name: _sent(catalog.get(name)) for name in sorted(pipeline.datasets())}
    things |= {f"dataset {name!r}": each for name, each in datasets.items() if not _is_elsewhere(each)}
    things |= {f"hook plugin {_plugin_name(name, each)}": each for name, each in hooks.plugins().items()}
    # All at once is much faster, since shared objects are pickled once. Only after a failure each one is tried.
    stays = any(getattr(thing, "_SINGLE_PROCESS", False) for thing in things.values())
    with pickling_caches_quietly():
        if not stays and why_not_sendable(list(things.values())) is None:
            return
        reasons = {name: why_not_sendable(thing) for name, thing in things.items()}
    raise CannotSendError({name: reason for name, reason in reasons.items() if reason is not None})


def _sent(dataset: DatasetLike | None) -> DatasetLike | None:
    """The part of a dataset that is sent: the cache of a `CachedDataset` stays here, and Kedro's is marked _SINGLE_PROCESS."""
    inner: DatasetLike | None = inner_dataset(dataset) if is_cached(dataset) else dataset
    return inner


def _plugin_name(name: str, plugin: object) -> str:
    """The name that the plugin was registered with, or its class: then pluggy's name for it is a number."""
    return type(plugin).__qualname__ if name == str(id(plugin)) else repr(name)


def _is_elsewhere(dataset: object) -> bool:
    """Whether the data came from a cluster and is still there; to pickle it would bring it here."""
    return getattr(dataset, "deferred", None) is not None


def release_output_caches(pipeline: PipelineLike, catalog: CatalogLike) -> None:
    """Release what this process has cached of the outputs, which other processes are about to save.

    A versioned dataset of Kedro remembers the version that it last loaded, and would load that one again.
    """
    for name in (name for node in pipeline.nodes for name in node.outputs):
        dataset: Any = catalog.get(name)
        if is_cached(dataset):
            release_cache(dataset)
            dataset = inner_dataset(dataset)
        release_file_cache(dataset)
