"""What a run is, on whichever scheduler: select, check, compile, get, and give back.

A runner gives `get`; if tasks leave this process, it overrides `backend` and `execute` as well.
"""

from __future__ import annotations

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.graph.checks import check_confirms, check_inputs
from penstock.graph.compile import compile_pipeline
from penstock.graph.keys import new_run
from penstock.graph.policies import checked_policies, policies_by_node, with_policies
from penstock.hooks import Hooks
from penstock.io.memory import Deferred, MemoryDataset
from penstock.io.redaction import without_secret_options, without_url_secrets
from penstock.logs.current_node import current_node_restored, naming_nodes
from penstock.runner.missing import missing_outputs, only_missing, resume_nodes
from penstock.runner.outputs import Fetched, put_outputs, release_output_caches
from penstock.runner.preflight import check_arguments, check_can_be_sent, checked_flag
from penstock.runs.progress_bar import progress_bar
from penstock.runs.recorder import Recorder
from penstock.runs.result import RunResult
from penstock.tasks.backend import Backend, Listener, LocalBackend
from penstock.tasks.exceptions import PackedError, unpack_error

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, DatasetLike, PipelineLike
    from penstock.graph.plan import Plan
    from penstock.graph.policies import Policies
    from penstock.tasks.policy import NodePolicy


class AbstractRunner(ABC):
    """Runs pipelines; the base of all runners. A subclass gives `get`, the scheduler.

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
    """Whether `execute` follows the placement of a policy."""

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
        plan = self._compile(pipeline, catalog, Hooks(hook_manager), None, self.backend())
        return with_policies(plan, policies_by_node(pipeline.nodes, self.policies))

    @abstractmethod
    def get(self, graph: Mapping[str, Any], keys: Sequence[str]) -> Sequence[Data]:
        """The values of `keys`, in their order, after all that they need has run.

        The only method that a runner of your own has to define.

        Args:
            graph: A Dask graph.
            keys: Keys of the graph.
        """

    def backend(self, listener: Listener | None = None) -> Backend:
        """What the tasks of one run ask of the scheduler. A runner whose tasks leave this process overrides it.

        Args:
            listener: Called in this process with the event of each task.
        """
        return LocalBackend(listener)

    def execute(self, plan: Plan, backend: Backend) -> list[Deferred]:  # noqa: ARG002
        """The values of `plan.keys`, or of the first of them, which are `plan.outputs`. No task of the plan runs when this returns.

        Args:
            plan: What to run.
            backend: The one that `backend` made for this run.
        """
        return [Fetched(value) for value in self.get(plan.graph, plan.keys)]

    def create_default_dataset(self, name: str) -> DatasetLike:  # noqa: ARG002
        """The dataset for a name that the catalog lacks; it is registered before anything runs."""
        return MemoryDataset()

    def create_default_data_set(self, name: str) -> DatasetLike:
        """The older name of `create_default_dataset`."""
        return self.create_default_dataset(name)

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
        progress = Recorder(pipeline, catalog, self._log)
        backend = self.backend(progress)
        if backend.leaves_process:
            check_can_be_sent(pipeline, catalog, hooks)
            release_output_caches(pipeline, catalog)
        plan = with_policies(self._compile(pipeline, catalog, hooks, run_id, backend), policies)
        self._log_start(pipeline, plan)
        progress.expect(plan)
        try:
            with current_node_restored(), naming_nodes(), self._bar(pipeline, progress):
                values = self._executed(plan, backend)
            put_outputs(plan, values, catalog)
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

    def _bar(self, pipeline: PipelineLike, progress: Recorder) -> contextlib.AbstractContextManager[None]:
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
        backend: Backend,
    ) -> Plan:
        return compile_pipeline(
            pipeline, catalog, hooks=hooks, run_id=run_id, is_async=self.is_async, backend=backend
        )

    def _executed(self, plan: Plan, backend: Backend) -> list[Deferred]:
        if not plan.keys:
            return []
        try:
            return self.execute(plan, backend)
        except PackedError as error:
            home = unpack_error(error)
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


def _shown(value: Any) -> str:
    """A plain value as it is; of anything else only the kind, since it may hold a credential."""
    is_plain_value = isinstance(value, str | int | float | None)
    return without_url_secrets(repr(value)) if is_plain_value else f"<{type(value).__name__}>"
