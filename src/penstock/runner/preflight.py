"""What is checked before the first task runs, so that a run that cannot succeed costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import CannotSendError
from penstock.graph.compile import is_cached
from penstock.graph.steps import wrapped
from penstock.sending import why_not_sendable

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, DatasetLike, PipelineLike
    from penstock.hooks import Hooks


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
    things |= {f"hook plugin {name!r}": plugin for name, plugin in hooks.plugins().items()}
    # All at once is much the fastest, since what they share is pickled once; only a failure is looked into.
    if why_not_sendable(list(things.values())) is None and not any(map(_is_single_process, things.values())):
        return
    reasons = {name: why_not_sendable(thing) for name, thing in things.items()}
    raise CannotSendError({name: reason for name, reason in reasons.items() if reason is not None})


def _sent(dataset: DatasetLike | None) -> DatasetLike | None:
    """What of a dataset has to be sendable; a cache stays here, and Kedro's marks its dataset as for one process only."""
    inner: DatasetLike | None = wrapped(dataset) if is_cached(dataset) else dataset
    return inner


def _is_single_process(thing: object) -> bool:
    return bool(getattr(thing, "_SINGLE_PROCESS", False))


def _is_elsewhere(dataset: object) -> bool:
    """Whether the data came from a cluster and is still there; to pickle it would bring it here."""
    return getattr(dataset, "deferred", None) is not None
