"""The whole Python call: hooks registered, the pipeline's own hooks fired, the pipeline run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from penstock.errors import RunnerError
from penstock.graph.keys import new_run
from penstock.hooks import create_hook_manager
from penstock.io.catalog import DataCatalog
from penstock.runner.sequential import SequentialRunner

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, PipelineLike
    from penstock.graph.policies import Policies
    from penstock.runner.abstract import AbstractRunner
    from penstock.runs.result import RunResult


def run(  # noqa: PLR0913 - all that a run can be given
    pipeline: PipelineLike,
    catalog: CatalogLike | Mapping[str, Any],
    runner: AbstractRunner | None = None,
    hooks: Iterable[object] = (),
    run_id: str | None = None,
    *,
    only_missing_outputs: bool = False,
    policies: Policies | None = None,
) -> RunResult:
    """The datasets of the pipeline's outputs, when all of it has run and is saved.

    Args:
        pipeline: What to run; select from it first to run a part of it.
        catalog: A catalog, or datasets and data by name, from which one is made.
        runner: Where to run it; by default a `SequentialRunner`.
        hooks: Plugins: instances with methods marked by `hook_impl`, called in pluggy's order, the last one first.
        run_id: What hooks are given; a random one by default.
        only_missing_outputs: Skip nodes whose outputs are stored already.
        policies: How nodes are run: a `NodePolicy`, or a dict of its fields, by the name of a node, a namespace or a tag.

    Raises:
        TypeError: A hook was given as a class.
        Exception: What `AbstractRunner.run` raises, or a hook.
    """
    if isinstance(runner, type):
        raise RunnerError(f"The runner is the class {runner.__name__}; give one of it: {runner.__name__}()")
    runner = runner or SequentialRunner()
    manager = create_hook_manager(hooks)
    run_id = run_id or new_run()
    datasets: Any = catalog if hasattr(catalog, "load") else DataCatalog(catalog)
    run_params = {"run_id": run_id, "runner": repr(runner), "only_missing_outputs": only_missing_outputs}
    about: dict[str, Any] = {"run_params": run_params, "pipeline": pipeline, "catalog": datasets}
    manager.hook.before_pipeline_run(**about)
    try:
        # A runner of somebody's own need not know of policies.
        options: dict[str, Any] = {"policies": policies} if policies else {}
        result = runner.run(pipeline, datasets, manager, run_id, only_missing_outputs, **options)
    except Exception as error:
        manager.hook.on_pipeline_error(error=error, **about)
        raise
    manager.hook.after_pipeline_run(run_result=result, **about)
    return result
