"""Find the local files of a run, and files by which other processes can check that they see the same folders."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.graph.taskspec import work_of
from penstock.io.kedro_objects import inner_dataset, is_cached, local_path
from penstock.tasks.call_tasks import Call
from penstock.tasks.dataset_tasks import Load, Save, SharedLoad
from penstock.tasks.retries import without_retries

if TYPE_CHECKING:
    from penstock._typing import DatasetLike
    from penstock.graph.plan import Plan


@dataclass(frozen=True)
class Stored:
    """A stored dataset of a run. `is_saved` says whether the run saves it."""

    name: str
    dataset: DatasetLike
    is_saved: bool


@dataclass(frozen=True)
class LocalFile:
    """The file of a dataset. A relative path starts at the working folder of each process."""

    name: str
    path: str
    is_saved: bool

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
        work: Any = work_of(task)
        work = without_retries(work)
        if isinstance(work, Load | SharedLoad | Save):
            catalogs[work.dataset] = work.catalog
        elif isinstance(work, Call):
            inside: tuple[tuple[str, Any], ...] = (*work.named_inputs(), *work.named_outputs())
            catalogs.update((name, each.catalog) for name, each in inside if each.catalog is not None)
    for name, catalog in catalogs.items():
        dataset = catalog.get(name)
        if dataset is not None:
            yield Stored(name, inner_dataset(dataset) if is_cached(dataset) else dataset, name in saved)


def local_files(datasets: Iterable[Stored]) -> list[LocalFile]:
    """The files of datasets that are on this machine.

    Args:
        datasets: Stored datasets; others than files are left out.
    """
    found = ((each, local_path(each.dataset)) for each in datasets)
    return [LocalFile(each.name, path, each.is_saved) for each, path in found if path is not None]


@contextlib.contextmanager
def probing_files(files: Iterable[LocalFile]) -> Iterator[dict[str, str]]:
    """Have a file for each path that exists inside the block; a process that does not see it does not see the driver's folder.

    For a file that is only loaded it is the file itself, if it exists. For a file that is saved it is an empty one, created in the
    same folder, or in the nearest folder above that exists. A folder that this process may not write to is left out: the save fails.

    Args:
        files: The local files of a run.
    """
    probe_by_folder: dict[Path, Path | None] = {}
    probe_by_path: dict[str, str] = {}
    try:
        for file in files:
            probe: Path | None = Path(file.path)
            if file.is_saved:
                folder = _nearest_existing(Path(file.path).parent)
                if folder not in probe_by_folder:
                    probe_by_folder[folder] = _create_probe_in(folder)
                probe = probe_by_folder[folder]
            if probe is not None and probe.exists():
                probe_by_path[file.path] = str(probe)
        yield probe_by_path
    finally:
        for created in filter(None, probe_by_folder.values()):
            created.unlink(missing_ok=True)


def _nearest_existing(folder: Path) -> Path:
    return next((each for each in (folder, *folder.parents) if each.is_dir()), folder)


def _create_probe_in(folder: Path) -> Path | None:
    path = folder / f".penstock-{secrets.token_hex(8)}"
    try:
        path.touch(exist_ok=False)
    except OSError:
        return None
    return path
