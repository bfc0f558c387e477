"""`penstock.run`: registers hooks, fires the pipeline hooks, and runs the pipeline on a runner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from penstock._similar import similar_names
from penstock.errors import RunnerError
from penstock.graph.datasets import as_catalog
from penstock.graph.keys import new_run_id
from penstock.hooks import create_hook_manager
from penstock.runner.preflight import kind_of
from penstock.runner.sequential import SequentialRunner
from penstock.tasks.tracebacks import for_the_user

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, PipelineLike
    from penstock.graph.policies import Policies
    from penstock.runner.abstract import AbstractRunner
    from penstock.runs.result import RunResult

_RUNNERS = ("DaskRunner", "ParallelRunner", "SequentialRunner", "ThreadRunner")


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
    """Run a pipeline. When this returns or raises, no task of the run runs any more.

    Args:
        pipeline: The nodes to run; select from a pipeline to run a part of it.
        catalog: A catalog, or datasets and data by name.
        runner: Where to run; a `SequentialRunner` by default.
        hooks: Plugins: instances with methods marked by `hook_impl`. The last one is called first, as always in pluggy.
        run_id: Passed to hooks; random by default.
        only_missing_outputs: Skip nodes whose stored outputs exist.
        policies: How nodes run: a `NodePolicy`, or a dict of its fields, by the name of a node, a namespace or a tag.

    Returns:
        The dataset of each output of the pipeline, by name, with records of all nodes.

    Raises:
        TypeError: A hook is a class, not an instance; or the catalog is neither a catalog nor a dict.
        RunnerError: The runner is a class, or not a runner.
        Exception: What `AbstractRunner.run` raises, or a hook.

    Example:
        >>> import penstock
        >>> from penstock.pipeline import node, pipeline
        >>> clean = node(lambda raw: [x for x in raw if x is not None], "raw", "clean", name="clean")
        >>> mean = node(lambda clean: sum(clean) / len(clean), "clean", "mean", name="mean")
        >>> result = penstock.run(pipeline([clean, mean]), {"raw": [3.0, None, 5.0]})
        >>> result["mean"].load(), [record.node for record in result.records]
        (4.0, ['clean', 'mean'])
    """
    _check_runner(runner, catalog)
    runner = runner or SequentialRunner()
    manager = create_hook_manager(hooks)
    run_id = run_id or new_run_id()
    datasets = as_catalog(catalog)
    run_params = {"run_id": run_id, "runner": repr(runner), "only_missing_outputs": only_missing_outputs}
    about: dict[str, Any] = {"run_params": run_params, "pipeline": pipeline, "catalog": datasets}
    manager.hook.before_pipeline_run(**about)
    try:
        # A user's own runner may not take policies.
        options: dict[str, Any] = {"policies": policies} if policies else {}
        result = runner.run(pipeline, datasets, manager, run_id, only_missing_outputs, **options)
    except BaseException as error:
        for_the_user(error)
        if isinstance(error, Exception):
            manager.hook.on_pipeline_error(error=error, **about)
        # A bare `raise` brings the frames back on Python 3.10.
        raise error  # noqa: TRY201
    manager.hook.after_pipeline_run(run_result=result, **about)
    return result


def _check_runner(runner: object, catalog: object) -> None:
    if isinstance(runner, type):
        raise RunnerError(f"The runner is the class {runner.__name__}; give an instance: {runner.__name__}()")
    if runner is None or hasattr(runner, "run"):
        return
    if hasattr(catalog, "run"):
        given = f"The catalog is {kind_of(catalog)}, and the runner {kind_of(runner)}"
        raise RunnerError(f"{given}: swap them. Write run(pipeline, catalog, runner)")
    shown, meant = kind_of(runner), "ThreadRunner"
    if isinstance(runner, str):
        shown, meant = repr(runner), similar_names([runner], _RUNNERS, most=1, similarity=0.0)[0]
    raise RunnerError(f"The runner is {shown}; give a runner, for instance penstock.{meant}()")
