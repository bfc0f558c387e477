"""Check, before the first task, that scheduler and workers have the right versions, and workers the modules and files that a plan needs."""

from __future__ import annotations

import contextlib
import logging
import os
import pkgutil
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed.versions import get_versions

from penstock._modules import (
    ImportFailure,
    LoadedSource,
    differs_here,
    import_and_compare,
    importable_modules,
    loaded_digests,
)
from penstock.errors import UnfitWorkersError
from penstock.graph.taskspec import data_of, work_of
from penstock.hooks import Hooks
from penstock.io.kedro_objects import inner_dataset, is_cached, local_path
from penstock.runner.cluster.backend import this_process
from penstock.runner.cluster.session import WORKER_ANSWER_SECONDS, ask_workers
from penstock.runner.cluster.workers.waiting import log_while_waiting
from penstock.tasks.call_tasks import Call
from penstock.tasks.dataset_tasks import Save
from penstock.tasks.load_tasks import Load

if TYPE_CHECKING:
    from distributed import Client

    from penstock._typing import DatasetLike
    from penstock.graph.plan import Plan

_LOG = logging.getLogger(__name__)

_VERSION_PATH = "penstock:__version__"

_DRIVER_VERSION = pkgutil.resolve_name(_VERSION_PATH)

MAX_SHOWN_WORKERS = 3
"""How many workers an error names that have the same problem."""

_EQUAL_VERSION_PARTS = {"python": 2, "dask": 2, "distributed": 2, "cloudpickle": 1}
"""How many parts of a version must be equal, so that a process can unpickle the objects of another."""


_NO_PACKAGE = (
    "Install there what the driver has, or put the code on a shared folder that is in PYTHONPATH there. "
    "cloudpickle.register_pickle_by_value(module) sends one of your modules with its functions"
)

_OTHER_PACKAGE = "A process imports one package of a name: run on a cluster that imports the driver's, or rename one of the packages"


def check_compatibility(client: Client, plan: Plan) -> None:
    """Check that scheduler and workers can unpickle what the driver sends them; warn about other code, and files that they do not see.

    Args:
        client: Connected to the cluster.
        plan: What is to run.

    Raises:
        UnfitWorkersError: Versions that differ too much, or modules that cannot be imported. The error names all of them.
    """
    workers = _check_versions(client)
    datasets = list(stored_datasets(plan))
    modules = sorted(_modules(plan, [each.dataset for each in datasets]))
    question = _Question(modules, loaded_digests(), this_process())
    files = [each for each in datasets if each.path]
    with probing_files(files) as probes, log_while_waiting("the workers to import what the nodes need"):
        results = client.run(
            _report, question, sorted(set(probes.values())), workers=workers, on_error="return"
        )
    reports: dict[str, _Report] = {}
    for address, result in results.items():
        if isinstance(result, _Report):
            reports[f"worker {address}"] = result
        # A worker that has died since raises an OSError, and runs no task.
        elif not isinstance(result, OSError):
            _LOG.warning("Could not check worker %s: %r", address, result)
    _check_imports(reports)
    _warn_about_modules(question.digests, reports)
    _warn_about_files(files, probes, reports)


# Versions


def _check_versions(client: Client) -> list[str]:
    """Check the versions of Python, Dask and penstock; gives the addresses of the workers that answer."""
    on_driver = get_versions()["packages"]
    penstock_on_scheduler = _penstock_on_scheduler(client)
    # Only a scheduler that has penstock can ask the workers so that those that do not answer in time are known, with None.
    can_ask = penstock_on_scheduler == _DRIVER_VERSION
    versions = ask_workers(client, {"op": "versions"}) if can_ask else client.get_versions()["workers"]
    workers = [address for address, answer in versions.items() if answer is not None]
    _warn_about_silent_workers([address for address in versions if address not in workers])
    packages = {f"worker {address}": versions[address]["packages"] for address in workers}
    packages["the scheduler"] = client.run_on_scheduler(get_versions)["packages"]
    problems = {place: list(_differences(on_driver, there)) for place, there in packages.items()}
    _raise_problems(problems, "Start it in the environment of the driver")
    found = {**_penstock_on_workers(client, workers), "the scheduler": penstock_on_scheduler}
    problems = {
        place: [_penstock_problem(version)] for place, version in found.items() if version != _DRIVER_VERSION
    }
    _raise_problems(problems, "Start it in the environment of the driver, which has penstock")
    return workers


def _warn_about_silent_workers(addresses: Sequence[str]) -> None:
    if addresses:
        _LOG.warning(
            "No answer in %g s from %s; a task there does not release the interpreter, or the machine is down. The run goes on, "
            "without a check whether nodes can run there",
            WORKER_ANSWER_SECONDS,
            _names_text([f"worker {address}" for address in addresses]),
        )


def _differences(on_driver: Mapping[str, str | None], there: Mapping[str, str | None]) -> Iterator[str]:
    for name, parts in _EQUAL_VERSION_PARTS.items():
        expected, found = _version_text(on_driver.get(name)), _version_text(there.get(name))
        if expected.split(".")[:parts] != found.split(".")[:parts]:
            yield f"has {name} {found}, the driver {expected}"


def _version_text(version: str | None) -> str:
    return "without a version" if version is None else version.removesuffix(".final.0")


# These functions are sent by the names of functions of the standard library, since penstock may be missing there.


def _penstock_on_workers(client: Client, workers: list[str]) -> dict[str, object]:
    """The version of penstock on each worker, or the exception that its import raises."""
    with log_while_waiting("the workers to import penstock"):
        found = client.run(pkgutil.resolve_name, _VERSION_PATH, workers=workers, on_error="return")
    # A worker that has died since raises an OSError, and gets no task.
    return {
        f"worker {address}": version for address, version in found.items() if not isinstance(version, OSError)
    }


def _penstock_on_scheduler(client: Client) -> object:
    """The version of penstock on the scheduler, or the exception that its import raises."""
    try:
        return client.run_on_scheduler(pkgutil.resolve_name, _VERSION_PATH)
    except Exception as error:  # noqa: BLE001 - whatever an import can raise
        return error


def _penstock_problem(found: object) -> str:
    if isinstance(found, BaseException):
        return f"cannot import penstock ({type(found).__name__}: {found})"
    return f"has penstock {found}, the driver {_DRIVER_VERSION}"


# Modules


def _modules(plan: Plan, datasets: Iterable[DatasetLike]) -> set[str]:
    """The modules that workers import to unpickle the tasks."""
    hooks = [each for each in data_of(plan.graph).values() if isinstance(each, Hooks)]
    plugins = [type(plugin) for each in hooks for plugin in each.plugins().values()]
    return importable_modules([*[node.func for node in plan.pipeline.nodes], *map(type, datasets), *plugins])


def _check_imports(reports: Mapping[str, _Report]) -> None:
    failures = {place: report.import_failures for place, report in reports.items()}
    found = [failure for each in failures.values() for failure in each]
    advice = [
        _OTHER_PACKAGE if any(each.has_other_package for each in found) else "",
        "" if all(each.has_other_package for each in found) else _NO_PACKAGE,
    ]
    problems = {place: map(str, each) for place, each in failures.items()}
    _raise_problems(problems, ". ".join(filter(None, advice)))


def _warn_about_modules(expected: Mapping[str, str], reports: Mapping[str, _Report]) -> None:
    """Warn about the user's own modules of which workers have loaded another source than the driver has."""
    places: dict[str, list[str]] = defaultdict(list)
    for place, report in reports.items():
        for name, source in report.other_sources.items():
            if differs_here(name, source, expected):
                perhaps = "" if source.is_certain else ", perhaps before its last change,"
                places[f"{name}, which is {source.path}{perhaps} on "].append(place)
    if places:
        _LOG.warning(
            "Workers have loaded other code of these modules than the driver has, and run it. Restart the workers "
            "(`client.restart()`), or have them import the driver's folder:%s",
            "".join(f"\n  {module}{_names_text(where)}" for module, where in sorted(places.items())),
        )


# Files


@dataclass(frozen=True)
class Stored:
    """A stored dataset of a run. A relative path of a file starts at the working folder of each process.

    Attributes:
        name: Its name in the catalog.
        dataset: The dataset.
        is_saved: Whether the run saves it.
    """

    name: str
    dataset: DatasetLike
    is_saved: bool

    @property
    def path(self) -> str:
        """The dataset's file on this machine; empty if the dataset is no such file."""
        return local_path(self.dataset) or ""

    def __str__(self) -> str:
        return f"dataset {self.name!r}, {self.path},"


def stored_datasets(plan: Plan) -> Iterator[Stored]:
    """The stored datasets that tasks of the plan load or save.

    Args:
        plan: What is to run.
    """
    saved = {name for node in plan.pipeline.nodes for name in node.outputs}
    catalogs: dict[str, Any] = {}
    for task in plan.graph.values():
        work = work_of(task)
        if isinstance(work, Load | Save):
            catalogs[work.dataset] = work.catalog
        elif isinstance(work, Call):
            inside: tuple[tuple[str, Any], ...] = (*work.named_inputs(), *work.named_outputs())
            catalogs.update((name, each.catalog) for name, each in inside if each.catalog is not None)
    for name, catalog in catalogs.items():
        dataset = catalog.get(name)
        if dataset is not None:
            yield Stored(name, inner_dataset(dataset) if is_cached(dataset) else dataset, name in saved)


@contextlib.contextmanager
def probing_files(files: Sequence[Stored]) -> Iterator[dict[str, str]]:
    """Have a file for each path that exists inside the block; a process that does not see it does not see the driver's folder.

    For a file that is only loaded it is the file itself, if it exists. For a file that is saved it is an empty one, created in the
    same folder, or in the nearest folder above that exists. A folder that this process may not write to is left out: the save fails.

    Args:
        files: The local files of a run.
    """
    name = f".penstock-{secrets.token_hex(8)}"
    folders = {file.path: _nearest_existing(Path(file.path).parent) for file in files if file.is_saved}
    probes = {file.path: str(folders[file.path] / name) if file.is_saved else file.path for file in files}
    with contextlib.ExitStack() as stack:
        for created in {folder / name for folder in folders.values()}:
            with contextlib.suppress(OSError):
                created.touch(exist_ok=False)
                stack.callback(created.unlink, missing_ok=True)
        yield {path: probe for path, probe in probes.items() if _exists(probe)}


def _nearest_existing(folder: Path) -> Path:
    return next((each for each in (folder, *folder.parents) if each.is_dir()), folder)


def _exists(path: str) -> bool:
    # Not `Path.exists`, which raises in a folder that this user may not enter.
    return os.path.exists(path)  # noqa: PTH110


def _warn_about_files(
    files: Sequence[Stored], probes: Mapping[str, str], reports: Mapping[str, _Report]
) -> None:
    lines = []
    for file in files:
        unaware = [
            place for place, report in reports.items() if probes.get(file.path) in report.missing_files
        ]
        if unaware:
            lines.append(f"\n  {file} is not seen by {_names_text(unaware)}")
    if lines:
        has_relative = any(not Path(file.path).is_absolute() for file in files)
        _LOG.warning(
            "Workers do not see these files of the driver; use a folder that they share, or a URL:%s%s",
            "".join(lines),
            _folders_text(reports) if has_relative else "",
        )


def _folders_text(reports: Mapping[str, _Report]) -> str:
    folders = sorted({report.folder for report in reports.values()})
    return f"\n  relative paths start at {Path.cwd()} here, and at {_names_text(folders)} there"


# What a worker reports


@dataclass(frozen=True)
class _Question:
    modules: Sequence[str]
    digests: Mapping[str, str]
    driver: tuple[str, int]


@dataclass(frozen=True)
class _Report:
    import_failures: list[ImportFailure]
    other_sources: dict[str, LoadedSource]
    missing_files: frozenset[str]
    folder: str
    """Where relative paths start."""


def _report(question: _Question, paths: Sequence[str]) -> _Report:
    missing = frozenset(path for path in paths if not _exists(path))
    # A worker that is a thread of the driver's process has the driver's modules.
    digests = {} if question.driver == this_process() else question.digests
    return _Report(*import_and_compare(question.modules, digests), missing, str(Path.cwd()))


# Errors


def _raise_problems(problems_by_place: Mapping[str, Iterable[str]], advice: str) -> None:
    places_by_problem: dict[str, list[str]] = defaultdict(list)
    for place, problems in problems_by_place.items():
        for problem in problems:
            places_by_problem[problem].append(place)
    if places_by_problem:
        raise UnfitWorkersError(
            [f"{_names_text(places)} {problem}" for problem, places in places_by_problem.items()], advice
        )


def _names_text(names: Sequence[str]) -> str:
    more = len(names) - MAX_SHOWN_WORKERS
    return ", ".join(names[:MAX_SHOWN_WORKERS]) + (f" and {more} more" if more > 0 else "")
