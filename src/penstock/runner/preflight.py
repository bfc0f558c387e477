"""What is checked before the first task runs, so that a run that cannot succeed costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock._pickling import why_not_sendable
from penstock.errors import CannotSendError, RunnerError
from penstock.io.kedro_objects import inner_dataset, is_cached

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, DatasetLike, PipelineLike
    from penstock.hooks import Hooks


def check_arguments(pipeline: Any, catalog: Any, hook_manager: Any) -> None:
    """Check that the arguments of `run` are what they are called, since what is mixed up fails late and tells little.

    Raises:
        RunnerError: Names all that are something else; nothing has run.
    """
    problems = []
    if isinstance(pipeline, type) or not hasattr(pipeline, "grouped_nodes"):
        problems.append(f"the pipeline is {_kind(pipeline)}: make one with pipeline([...])")
    if isinstance(catalog, type) or not hasattr(catalog, "load"):
        problems.append(
            f"the catalog is {_kind(catalog)}: make one with DataCatalog({{...}}), or call penstock.run"
        )
    if hook_manager is not None and not hasattr(hook_manager, "hook"):
        problems.append(
            f"the hook manager is {_kind(hook_manager)}: make one with create_hook_manager([...]), or call penstock.run"
        )
    if problems:
        raise RunnerError("; ".join(problems))


def checked_flag(name: str, value: object) -> bool:
    """The value of an argument that is true or false; any other is refused: "no", from a command line, would count as true.

    Raises:
        RunnerError: Names the argument.
    """
    if not isinstance(value, bool):
        raise RunnerError(f"{name} is true or false, not {value!r}")
    return value


def _kind(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"


def check_can_be_sent(pipeline: PipelineLike, catalog: CatalogLike, hooks: Hooks) -> None:
    """Check that nodes, the datasets they use and the plugins with node or dataset hooks can leave this process.

    Raises:
        CannotSendError: Names all that cannot, each with its reason; nothing has run.
    """
    things = {f"node {node.name!r}": node for node in pipeline.nodes}
    datasets = {name: _sent(catalog.get(name)) for name in sorted(pipeline.datasets())}
    things |= {
        f"dataset {name!r}": dataset for name, dataset in datasets.items() if not _is_elsewhere(dataset)
    }
    things |= {
        f"hook plugin {_plugin_name(name, plugin)}": plugin for name, plugin in hooks.plugins().items()
    }
    # All at once is much the fastest, since what they share is pickled once; only a failure is looked into.
    if why_not_sendable(list(things.values())) is None and not any(map(_is_single_process, things.values())):
        return
    reasons = {name: why_not_sendable(thing) for name, thing in things.items()}
    raise CannotSendError({name: reason for name, reason in reasons.items() if reason is not None})


def _sent(dataset: DatasetLike | None) -> DatasetLike | None:
    """What of a dataset has to be sendable; a cache stays here, and Kedro's marks its dataset as for one process only."""
    inner: DatasetLike | None = inner_dataset(dataset) if is_cached(dataset) else dataset
    return inner


def _plugin_name(name: str, plugin: object) -> str:
    """The name under which it was registered, or that of its class: pluggy calls it by a number then."""
    return type(plugin).__qualname__ if name == str(id(plugin)) else repr(name)


def _is_single_process(thing: object) -> bool:
    return bool(getattr(thing, "_SINGLE_PROCESS", False))


def _is_elsewhere(dataset: object) -> bool:
    """Whether the data came from a cluster and is still there; to pickle it would bring it here."""
    return getattr(dataset, "deferred", None) is not None
