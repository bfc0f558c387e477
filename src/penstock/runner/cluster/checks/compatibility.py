"""Whether a cluster fits a pipeline, asked before the first task."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
from distributed.versions import get_versions

from penstock.errors import UnfitWorkersError
from penstock.graph.taskspec import data_of
from penstock.hooks import Hooks
from penstock.runner.cluster.broadcast import ANSWER_SECONDS, answers
from penstock.runner.cluster.checks.shared_files import local_files, probed, stored_datasets
from penstock.runner.cluster.workers.waiting import awaited, log_while_waiting

if TYPE_CHECKING:
    from distributed import Client

    from penstock._typing import DatasetLike
    from penstock.graph.plan import Plan
    from penstock.runner.cluster.session import ClusterSession

_LOG = logging.getLogger(__name__)

_OUR_VERSION = "penstock:__version__"

_OURS = pkgutil.resolve_name(_OUR_VERSION)
"""What the driver has."""

SHOWN = 3
"""How many workers are named that have one problem in common."""

_PARTS_THAT_FIT = {"python": 2, "dask": 2, "distributed": 2, "cloudpickle": 1}
"""How many parts of a version have to be equal for objects of one process to be understood in another."""


def check_fit(client: Client, plan: Plan) -> None:
    """Check that the workers and the scheduler understand what the driver sends them; point out files that they do not see.

    Raises:
        UnfitWorkersError: Versions that do not fit, or modules that cannot be imported there; names all of them.
    """
    workers = _check_versions(client)
    datasets = list(stored_datasets(plan))
    modules = sorted(_modules(plan, [each.dataset for each in datasets]))
    files = local_files(datasets)
    with probed(files) as probes, log_while_waiting("the workers to import what the nodes need"):
        told = client.run(_look, modules, sorted(set(probes.values())), workers=workers, on_error="return")
    looks = {f"worker {address}": look for address, look in told.items() if isinstance(look, _Look)}
    for address, error in told.items():
        # One that has died in the meantime runs nothing.
        if not isinstance(error, _Look | OSError):
            _LOG.warning("Nobody knows whether nodes can run on worker %s: %r", address, error)
    failures = {who: look.failures for who, look in looks.items()}
    if modules:
        failures["the scheduler"] = client.run_on_scheduler(_import_failures, modules)
    _refuse(
        {who: [f"cannot import {failure}" for failure in each] for who, each in failures.items()},
        "Install there what the driver has, or put the code on a shared folder that is in PYTHONPATH there. "
        "cloudpickle.register_pickle_by_value(module) sends a module of yours with its functions",
    )
    unseen = [
        f"\n  {each} is not seen by {_named(blind)}"
        for each in files
        if (blind := [who for who, look in looks.items() if probes.get(each.path) in look.unseen])
    ]
    if unseen:
        _LOG.warning(
            "Workers do not see these files of the driver's; use a folder that they share, or a URL:%s%s",
            "".join(unseen),
            _folders(looks) if any(not Path(each.path).is_absolute() for each in files) else "",
        )


def check_resources(
    session: ClusterSession, seconds: float, resources_by_node: Mapping[str, Mapping[str, float]]
) -> None:
    """Return when each node has a worker with all that it needs; wait for workers that are on their way.

    Args:
        session: The cluster.
        seconds: How long to wait for them.
        resources_by_node: What each node takes of its worker.

    Raises:
        UnfitWorkersError: No worker has what a node needs, and none is coming.
        NoWorkersError: None came in time.
    """

    def lacking() -> dict[str, Mapping[str, float]]:
        workers = session.client.scheduler_info(n_workers=-1)["workers"].values()
        offered = [worker["resources"] for worker in workers]
        return {
            node: needed
            for node, needed in resources_by_node.items()
            if not any(all(offer.get(name, 0) >= needed[name] for name in needed) for offer in offered)
        }

    if not resources_by_node or not lacking():
        return
    what = "a worker with " + " or ".join(sorted({_told(needed) for needed in lacking().values()}))
    if not awaited(session.supervisor, seconds, what, lambda: not lacking()):
        raise UnfitWorkersError(
            [
                f"node {node!r} needs {_told(needed)}, which no worker has"
                for node, needed in lacking().items()
            ],
            'Start workers that have it, with `dask worker --resources "GPU=1"` for instance, or take it out of the policy',
        )


def _folders(looks: Mapping[str, _Look]) -> str:
    folders = sorted({look.folder for look in looks.values()})
    return f"\n  relative paths start at {Path.cwd()} here, and at {_named(folders)} there"


def _told(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in resources.items())


# Versions


def _check_versions(client: Client) -> list[str]:
    """The addresses of the workers: those that answer."""
    here = get_versions()["packages"]
    on_scheduler = _ours_on_scheduler(client)
    versions = _versions_of_workers(client, can_ask=on_scheduler == _OURS)
    workers = [address for address, answer in versions.items() if answer is not None]
    _tell_of_silent([address for address in versions if address not in workers])
    packages = {f"worker {address}": versions[address]["packages"] for address in workers}
    packages["the scheduler"] = client.run_on_scheduler(get_versions)["packages"]
    problems = {who: list(_differences(here, there)) for who, there in packages.items()}
    _refuse(problems, "Start it in the environment of the driver")
    problems = _without_us({**_ours_on_workers(client, workers), "the scheduler": on_scheduler})
    _refuse(problems, "Start it in the environment of the driver: it has to have penstock")
    return workers


def _versions_of_workers(client: Client, *, can_ask: bool) -> Mapping[str, Any]:
    """By address; None for those that do not answer in time, if the scheduler has our code to ask with."""
    if can_ask:
        return answers(client, {"op": "versions"})
    told: Mapping[str, Any] = client.get_versions()["workers"]
    return told


def _tell_of_silent(workers: Sequence[str]) -> None:
    if workers:
        _LOG.warning(
            "No answer in %g s from %s; a task there keeps the interpreter to itself, or the machine is gone. The run goes on, "
            "and nobody has looked whether nodes can run there",
            ANSWER_SECONDS,
            _named([f"worker {address}" for address in workers]),
        )


# What is asked is made of the standard library, since we may not be there.


def _ours_on_workers(client: Client, workers: list[str]) -> dict[str, object]:
    """Our version on each, or what was raised when it was asked for."""
    with log_while_waiting("the workers to say which penstock they have"):
        asked = client.run(pkgutil.resolve_name, _OUR_VERSION, workers=workers, on_error="return")
    # A worker that has died in the meantime does not answer, and fits: Dask sends nothing there.
    return {f"worker {address}": told for address, told in asked.items() if not isinstance(told, OSError)}


def _ours_on_scheduler(client: Client) -> object:
    """Our version there, or what was raised when it was asked for."""
    try:
        return client.run_on_scheduler(pkgutil.resolve_name, _OUR_VERSION)
    except Exception as error:  # noqa: BLE001 - whatever an import can raise
        return error


def _without_us(found: Mapping[str, object]) -> dict[str, list[str]]:
    """Who has another version of ours, or none."""
    return {who: [_our_problem(version)] for who, version in found.items() if version != _OURS}


def _our_problem(there: object) -> str:
    if isinstance(there, BaseException):
        return f"cannot import penstock ({type(there).__name__}: {there})"
    return f"has penstock {there}, the driver {_OURS}"


def _differences(here: Mapping[str, str | None], there: Mapping[str, str | None]) -> Iterator[str]:
    for name, parts in _PARTS_THAT_FIT.items():
        ours, theirs = _plain(here.get(name)), _plain(there.get(name))
        if ours.split(".")[:parts] != theirs.split(".")[:parts]:
            yield f"has {name} {theirs}, the driver {ours}"


def _plain(version: str | None) -> str:
    return "of no version" if version is None else version.removesuffix(".final.0")


# Modules


def _modules(plan: Plan, datasets: Iterable[DatasetLike]) -> set[str]:
    """The modules that are imported when the tasks are unpickled, without those that every Python has."""
    things: list[object] = [node.func for node in plan.pipeline.nodes]
    things += map(type, datasets)
    hooks = data_of(plan.graph).values()
    things += [
        type(plugin) for each in hooks if isinstance(each, Hooks) for plugin in each.plugins().values()
    ]
    by_value = cloudpickle.list_registry_pickle_by_value()
    return {
        module
        for module in filter(None, map(_module, things))
        if module.partition(".")[0] not in {"penstock", "__main__", *sys.stdlib_module_names}
        and not any(module == each or module.startswith(f"{each}.") for each in by_value)
    }


def _module(thing: Any) -> str | None:
    """The module in which another process looks a function or class up; None if it travels itself."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    if not hasattr(thing, "__qualname__"):
        thing = type(thing)
    name = getattr(thing, "__module__", None)
    found: Any = sys.modules.get(name or "")
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    return name if found is thing else None


def _import_failures(modules: Iterable[str]) -> list[str]:
    """Runs on workers and scheduler."""
    failures = []
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001, PERF203 - a module may raise what it likes
            failures.append(f"{module} ({type(error).__name__}: {error})")
    return failures


# What is asked of a worker


@dataclass(frozen=True)
class _Look:
    failures: list[str]
    """Of imports."""
    unseen: frozenset[str]
    """Files that are not there."""
    folder: str
    """Where relative paths start."""


def _look(modules: Sequence[str], paths: Sequence[str]) -> _Look:
    # Where nobody may look, `Path.exists` raises.
    unseen = frozenset(path for path in paths if not os.path.exists(path))  # noqa: PTH110
    return _Look(_import_failures(modules), unseen, str(Path.cwd()))


# Telling


def _refuse(problems_by_who: Mapping[str, Iterable[str]], advice: str) -> None:
    who_by_problem: dict[str, list[str]] = defaultdict(list)
    for who, problems in problems_by_who.items():
        for problem in problems:
            who_by_problem[problem].append(who)
    if who_by_problem:
        raise UnfitWorkersError(
            [f"{_named(who)} {problem}" for problem, who in who_by_problem.items()], advice
        )


def _named(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
