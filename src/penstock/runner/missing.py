"""Which nodes need not run, and from which nodes a failed run can be resumed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from penstock.pipeline.transcoding import base_name

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, DatasetLike, NodeLike, PipelineLike


def only_missing(pipeline: PipelineLike, catalog: CatalogLike, log: logging.Logger) -> PipelineLike:
    """The nodes whose stored outputs do not exist, and the nodes that they need.

    Going from the last node to the first, a node runs if it has no outputs, if one of its stored outputs does not exist, or if a
    node that runs needs an output that is not stored or does not exist.
    """
    needs = _Needs(catalog)
    names: list[str] = []
    for node in reversed(pipeline.nodes):
        reason = needs.reason(node)
        if reason:
            log.debug("Node %s runs: %s", node.name, reason)
            names.append(node.name)
            needs.wanted.update(node.inputs)
        else:
            log.debug("Node %s is skipped: all that is needed of it exists", node.name)
    _log_skipped(pipeline, names, log)
    return pipeline.only_nodes(*names)


class _Needs:
    """Decides for one node after the other whether it runs; `wanted` has the inputs of those that do."""

    def __init__(self, catalog: CatalogLike) -> None:
        self.wanted: set[str] = set()
        self._catalog = catalog
        self._exists: dict[str, bool] = {}

    def reason(self, node: NodeLike) -> str:
        """Why the node runs; empty if it is skipped."""
        if not node.outputs:
            return "it has no outputs"
        if missing := [name for name in node.outputs if self._is_stored(name) and not self._is_there(name)]:
            return f"{', '.join(missing)} does not exist"
        needed = [name for name in node.outputs if name in self.wanted]
        if lost := [name for name in needed if not (self._is_stored(name) and self._is_there(name))]:
            return f"{', '.join(lost)} is needed by a node that runs and is not stored"
        return ""

    def _is_stored(self, name: str) -> bool:
        return name in self._catalog and is_persistent(self._catalog.get(name))

    def _is_there(self, name: str) -> bool:
        if name not in self._exists:
            self._exists[name] = self._catalog.exists(name)
        return self._exists[name]


def is_persistent(dataset: DatasetLike | None) -> bool:
    """Whether the dataset keeps its data outside of this process."""
    return dataset is not None and not getattr(dataset, "_EPHEMERAL", False)


def _log_skipped(pipeline: PipelineLike, names: Iterable[str], log: logging.Logger) -> None:
    run = set(names)
    skipped = sorted(node.name for node in pipeline.nodes if node.name not in run)
    log.info("Only missing outputs: %d nodes run, %d are skipped", len(run), len(skipped))
    if skipped:
        log.info("Skipped: %s", ", ".join(skipped))


def missing_outputs(pipeline: PipelineLike, catalog: CatalogLike) -> PipelineLike:
    """The nodes that make those outputs of the pipeline that do not exist, and the missing data that these need.

    Data in a memory dataset exists.
    """
    producer_by_dataset = _producers(pipeline)
    wanted = [name for name in pipeline.outputs() if not _has_data(catalog, name)]
    found: set[str] = set()
    while wanted:
        node = producer_by_dataset.get(base_name(wanted.pop()))
        if node is None or node.name in found:
            continue
        found.add(node.name)
        wanted.extend(name for name in node.inputs if not _has_data(catalog, name))
    return pipeline.only_nodes(*sorted(found))


def _has_data(catalog: CatalogLike, name: str) -> bool:
    return name in catalog and catalog.exists(name)


def log_resume(
    pipeline: PipelineLike, catalog: CatalogLike, finished: set[str], begun: set[str], log: logging.Logger
) -> None:
    """Log what a failed run has done, and where to resume it.

    Args:
        pipeline: What ran.
        catalog: Tells which data is kept.
        finished: The names of the nodes that are done.
        begun: The names of nodes that have begun, as far as they are known.
        log: The runner's log.
    """
    started = ", ".join(sorted(begun - finished))
    if not finished:
        what = f"No nodes ran to their end (begun: {started})" if started else "No nodes ran"
        log.warning("%s: repeat the run as it was", what)
        return
    log.warning("%d of %d nodes are done; begun: %s", len(finished), len(pipeline.nodes), started or "none")
    names = resume_nodes(pipeline, catalog, finished)
    if names:
        log.warning(
            'To resume where the run failed: --from-nodes "%s", in Python pipeline.from_nodes(%s)',
            ",".join(names),
            ", ".join(f'"{name}"' for name in names),
        )


def resume_nodes(pipeline: PipelineLike, catalog: CatalogLike, finished: set[str]) -> list[str]:
    """The sorted names of the nodes from which a failed run can be resumed.

    Data in memory is lost by then, so the nodes that made it have to run again as well.
    """
    producer_by_dataset = _producers(pipeline)
    names = {node.name for node in pipeline.nodes if node.name not in finished}
    if not names:
        return []
    nodes = [node for node in pipeline.nodes if node.name in names]
    while nodes:
        for name in nodes.pop().inputs:
            producer = producer_by_dataset.get(base_name(name))
            if producer is not None and producer.name not in names and _is_lost(name, catalog):
                names.add(producer.name)
                nodes.append(producer)
    return sorted(node.name for node in pipeline.from_nodes(*sorted(names)).grouped_nodes[0])


def _is_lost(name: str, catalog: CatalogLike) -> bool:
    return not name.startswith("params:") and not is_persistent(catalog.get(name))


def _producers(pipeline: PipelineLike) -> dict[str, NodeLike]:
    return {base_name(name): node for node in pipeline.nodes for name in node.outputs}
