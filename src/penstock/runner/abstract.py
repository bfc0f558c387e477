"""What a run is, on whichever scheduler: select, check, compile, get, and give back.

A runner of another kind overrides `get`, and `handover` if tasks leave this process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.local

from penstock.errors import RunnerError
from penstock.tasks.retries import with_policies
from penstock.graph.checks import check_confirms, check_inputs
from penstock.graph.compile import compile_pipeline, is_cached
from penstock.tasks.exceptions import CarriedError, unpacked
from penstock.tasks.backend import Handover, Listener, SameProcess
from penstock.tasks.values import Held, opened
from penstock.graph.keys import new_run
from penstock.graph.subcatalog import is_plain, is_shared_memory
from penstock.graph.policies import checked_policies, policies_by_node
from penstock.logs.current_node import nodes_named, work_kept
from penstock.tasks.node_steps import forget, wrapped
from penstock.hooks import Hooks
from penstock.io.memory import Deferred, MemoryDataset
from penstock.io.redaction import without_secret_options, without_url_secrets
from penstock.runner.threads.executors import BatchHere
from penstock.runner.missing import missing_outputs, only_missing, resume_nodes
from penstock.runner.preflight import check_arguments, check_can_be_sent, checked_flag
from penstock.runs.recorder import Progress
from penstock.runs.progress_bar import progress_bar
from penstock.runs.result import RunResult

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike, PipelineLike
    from penstock.graph.plan import Plan
    from penstock.graph.policies import NodePolicy, Policies

WINDOWS_MAX_WORKERS = 61
"""Windows waits for at most 63 handles at once, two of which a pool needs itself (bpo-26903)."""


class AbstractRunner:
    """Runs pipelines one task at a time, in this process; the base of all runners.

    Args:
        is_async: Each node loads its inputs at once and saves its outputs at once, in threads.
        policies: How nodes are run: a `NodePolicy`, or a dict of its fields, by the name of a node, a namespace or a tag.
        progress: Show a bar, on a terminal or in a notebook.
    """

    is_async = False
    progress = False
    policies: Mapping[str, NodePolicy] = {}
    _is_synchronous = True
    _places_nodes = False
    """Whether `compute` heeds the placement of a policy."""

    def __init__(
        self,
        is_async: bool = False,  # noqa: FBT001, FBT002 - the contract: usable positionally
        *,
        policies: Policies | None = None,
        progress: bool = False,
    ) -> None:
        self.is_async = checked_flag("is_async", is_async)
        self.policies = checked_policies(policies)
        self.progress = checked_flag("progress", progress)

    def __repr__(self) -> str:
        shown = without_secret_options(self._arguments())
        arguments = ", ".join(f"{name}={_shown(value)}" for name, value in shown.items())
        return f"{type(self).__module__}.{type(self).__qualname__}({arguments})"

    def run(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike,
        hook_manager: Any = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,  # noqa: FBT001, FBT002 - the contract: usable positionally
        *,
        policies: Policies | None = None,
    ) -> RunResult:
        """The datasets of the pipeline's outputs, when all of it has run and is saved.

        When this returns or raises, nothing of the run goes on.

        Args:
            pipeline: Ours or Kedro's.
            catalog: Has the free inputs; gets a dataset for each name that it lacks.
            hook_manager: A pluggy manager whose node and dataset hooks fire where the nodes run.
            run_id: What hooks are given; a random one by default.
            only_missing_outputs: Skip nodes whose outputs are stored already.
            policies: For this run, instead of those of the runner that have the same key.

        Raises:
            MissingInputError: Free inputs that the catalog lacks; nothing has run.
            SelectionError: A policy is for no node, namespace or tag; nothing has run.
            RunnerError: A policy that makes no sense, or two that disagree; nothing has run.
            CannotSendError: Nodes, datasets or plugins that cannot leave this process; nothing has run.
            NodeError: A failure that could not come home as the exception that it was.
            Exception: What a node, dataset or hook raised, with a note of where.
        """
        check_arguments(pipeline, catalog, hook_manager)
        by_node = policies_by_node(pipeline.nodes, {**self.policies, **checked_policies(policies)})
        if only_missing_outputs:
            pipeline = only_missing(pipeline, catalog, self._log)
        return self._run(pipeline, catalog, hook_manager, run_id, by_node)

    def run_only_missing(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike,
        hook_manager: Any = None,
        run_id: str | None = None,
    ) -> RunResult:
        """Build each output of the pipeline that does not exist, and whatever that needs.

        A memory dataset that holds data exists. Arguments and errors are those of `run`.
        """
        check_arguments(pipeline, catalog, hook_manager)
        by_node = policies_by_node(pipeline.nodes, self.policies)
        return self._run(missing_outputs(pipeline, catalog), catalog, hook_manager, run_id, by_node)

    def plan(self, pipeline: PipelineLike, catalog: CatalogLike, hook_manager: Any = None) -> Plan:
        """What `run` would hand to Dask; `print` it. Nothing is run, loaded or registered.

        Raises:
            MissingInputError: Free inputs that the catalog lacks.
        """
        check_arguments(pipeline, catalog, hook_manager)
        plan = self._compile(pipeline, catalog, Hooks(hook_manager), None, self.handover())
        return with_policies(plan, policies_by_node(pipeline.nodes, self.policies))

    def get(self, graph: Mapping[str, Any], keys: Sequence[str]) -> Sequence[Data]:
        """The values of `keys`, when all that they need has run.

        Args:
            graph: A Dask graph.
            keys: What to compute; the values come in the same order.
        """
        values: Sequence[Data] = dask.local.get_async(BatchHere, 1, dict(graph), list(keys), chunksize=1)
        return values

    def handover(self, listener: Listener | None = None) -> Handover:
        """How values get from task to task in one run, and news to `listener`."""
        return SameProcess(listener)

    def create_default_dataset(self, name: str) -> DatasetLike:  # noqa: ARG002
        """The dataset for a name that the catalog lacks; it is registered before anything runs."""
        return MemoryDataset()

    def create_default_data_set(self, name: str) -> DatasetLike:
        """The older name of `create_default_dataset`."""
        return self.create_default_dataset(name)

    def compute(self, plan: Plan, handover: Handover) -> list[Deferred]:  # noqa: ARG002
        """The values of `plan.keys` in their order, or of `plan.outputs`, which stand first; nothing of the plan runs any more.

        Args:
            plan: What to run.
            handover: What `handover` gave for this run.
        """
        return [Here(value) for value in self.get(plan.graph, plan.keys)]

    # One run

    def _run(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike,
        hook_manager: Any,
        run_id: str | None,
        policies: Mapping[str, NodePolicy],
    ) -> RunResult:
        started = time.perf_counter()
        self._register(pipeline, catalog)
        run_id = run_id or new_run()
        hooks = Hooks(hook_manager)
        progress = Progress(pipeline, catalog, self._log)
        handover = self.handover(progress)
        if handover.leaves_process:
            check_can_be_sent(pipeline, catalog, hooks)
            _forget_caches(pipeline, catalog)
        plan = with_policies(self._compile(pipeline, catalog, hooks, run_id, handover), policies)
        self._log_start(pipeline, plan)
        progress.expect(plan)
        try:
            with work_kept(), nodes_named(), self._bar(pipeline, progress):
                values = self._computed(plan, handover)
            _give_back(plan, values, catalog)
            progress.check()
        except BaseException:
            self._log_resume(pipeline, catalog, progress.finished)
            raise
        seconds = time.perf_counter() - started
        self._log.info("Pipeline finished: %d nodes in %.1f s", len(pipeline.nodes), seconds)
        return RunResult(
            {name: catalog[name] for name in sorted(pipeline.outputs())},
            producers={name: node.name for node in pipeline.nodes for name in node.outputs},
            records=progress.records,
            run_id=run_id,
            seconds=seconds,
        )

    def _bar(self, pipeline: PipelineLike, progress: Progress) -> contextlib.AbstractContextManager[None]:
        return progress_bar(pipeline, progress) if self.progress else contextlib.nullcontext()

    def _register(self, pipeline: PipelineLike, catalog: CatalogLike) -> None:
        """Have a dataset for every name before any node starts, so that no two tasks make one at the same time."""
        check_inputs(pipeline, catalog)
        own_default = self._own_default()
        for name in sorted(pipeline.datasets()):
            if own_default is not None and name not in catalog:
                catalog[name] = own_default(name)
            else:
                catalog.get(name, fallback_to_runtime_pattern=True)
        check_confirms(pipeline.nodes, catalog)

    def _own_default(self) -> Callable[[str], DatasetLike] | None:
        """What a subclass overrides `create_default_dataset` with, under either name."""
        for name in ("create_default_dataset", "create_default_data_set"):
            if getattr(type(self), name) is not getattr(AbstractRunner, name):
                method: Callable[[str], DatasetLike] = getattr(self, name)
                return method
        return None

    def _compile(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike,
        hooks: Hooks,
        run_id: str | None,
        handover: Handover,
    ) -> Plan:
        return compile_pipeline(
            pipeline, catalog, hooks=hooks, run_id=run_id, is_async=self.is_async, handover=handover
        )

    def _computed(self, plan: Plan, handover: Handover) -> list[Deferred]:
        if not plan.keys:
            return []
        try:
            return self.compute(plan, handover)
        except CarriedError as error:
            home = unpacked(error)
        # Raised here, where the user's error does not get the parcel that it came in as its context.
        raise home

    @property
    def _log(self) -> logging.Logger:
        return logging.getLogger(type(self).__module__)

    def _log_start(self, pipeline: PipelineLike, plan: Plan) -> None:
        if self._is_synchronous and not self.is_async:
            self._log.info(
                "Each node loads and saves its datasets one after the other; is_async=True does it at once"
            )
        self._log.info("Running %d nodes in %d tasks", len(pipeline.nodes), len(plan.graph))
        placed = {
            name: ", ".join(policy.placement) for name, policy in plan.policies.items() if policy.placement
        }
        if placed and not self._places_nodes:
            told = "; ".join(f"{name}: {asked}" for name, asked in placed.items())
            self._log.warning(
                "Ignored by %s, which has no workers to choose from: %s", type(self).__name__, told
            )

    def _log_resume(self, pipeline: PipelineLike, catalog: CatalogLike, finished: set[str]) -> None:
        if not finished:
            self._log.warning("No nodes ran: repeat the run as it was")
            return
        names = resume_nodes(pipeline, catalog, finished)
        if names:
            self._log.warning(
                'To resume where the run failed: --from-nodes "%s", in Python pipeline.from_nodes(%s)',
                ",".join(names),
                ", ".join(f'"{name}"' for name in names),
            )

    # How it is shown

    def _arguments(self) -> dict[str, Any]:
        given = {"is_async": self.is_async, "policies": self.policies, "progress": self.progress}
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class Here:
    """A value that is in this process already."""

    value: Data

    def fetch(self) -> Data:
        """The value."""
        return self.value


@dataclass(frozen=True)
class Opened:
    """A value, taken out of the dataset that holds it, if one does."""

    value: Deferred

    def fetch(self) -> Data:
        """The value."""
        return opened(self.value.fetch())


def default_workers() -> int:
    """As many as there are processors; no more than Windows can wait for."""
    count = os.cpu_count() or 1
    return min(WINDOWS_MAX_WORKERS, count) if sys.platform == "win32" else count


def checked_workers(max_workers: int | None) -> int:
    """The number of workers asked for, or the default.

    Raises:
        RunnerError: It is below 1.
    """
    if max_workers is None:
        return default_workers()
    given: object = max_workers
    if not isinstance(given, int) or isinstance(given, bool):
        raise RunnerError(
            f"max_workers is {max_workers!r}, not a whole number; give at least 1, or leave it out"
        )
    if max_workers < 1:
        raise RunnerError(
            f"max_workers is {max_workers}; give at least 1, or leave it out for one a processor"
        )
    return max_workers


def useful_workers(max_workers: int, plan: Plan) -> int:
    """At most as many workers as nodes can run at once: one for each layer's first node, and one for every other."""
    layers = plan.pipeline.grouped_nodes
    return max(1, min(max_workers, sum(map(len, layers)) - len(layers) + 1))


def _give_back(plan: Plan, values: list[Deferred], catalog: CatalogLike) -> None:
    """Put the outputs in memory, which stand first among the values, into the catalog's datasets."""
    for name, value in zip(plan.outputs, values, strict=False):
        dataset = catalog[name]
        if is_shared_memory(dataset):
            # The catalog makes a dataset of its own kind of what is not one.
            catalog[name] = opened(value.fetch())
            continue
        if isinstance(dataset, MemoryDataset) and is_plain(dataset):
            dataset.defer(Opened(value))
            continue
        data = value.fetch()
        if isinstance(data, Held) and hasattr(dataset, "__dict__"):
            # It was saved to a copy of this very dataset: once is enough.
            vars(dataset).update(vars(getattr(data.dataset, "inner", data.dataset)))
        else:
            dataset.save(opened(data))


def _forget_caches(pipeline: PipelineLike, catalog: CatalogLike) -> None:
    """Have this process forget what it knows of the data that other processes are about to save.

    A versioned dataset of Kedro's knows the version that it last saw, and would load that one.
    """
    for name in (name for node in pipeline.nodes for name in node.outputs):
        dataset: Any = catalog.get(name)
        if is_cached(dataset):
            dataset._cache.release()
            dataset = wrapped(dataset)
        forget(dataset)


def _shown(value: Any) -> str:
    """A plain value as it is; of anything else only the kind, since it may hold a credential."""
    is_plain_value = isinstance(value, str | int | float | None)
    return without_url_secrets(repr(value)) if is_plain_value else f"<{type(value).__name__}>"
