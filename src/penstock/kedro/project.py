"""The Kedro project of this process, in a form that a worker can enter.

A node's function is pickled by the name of its module. Where it is unpickled, the module has to be importable, and it has to
be the same code: a worker of a cluster outlives many a change to the project.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import importlib.util
import io
import logging.config
import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kedro.framework import project as framework

from penstock.errors import ClusterError

_LOG = logging.getLogger(__name__)

MOST_BYTES = 20_000_000
"""Up to this size a project's source travels to the workers of a cluster."""

_INSTALLED = {"site-packages", "dist-packages"}
_LEFT_OUT = {"__pycache__", ".ipynb_checkpoints"}

_placed: dict[str, str] = {}
"""The fingerprint of the source that each package is imported from in this process."""

_entered: dict[str, str] = {}
"""The same, for the packages whose settings and logging this process has as well."""
_lock = threading.RLock()


@dataclass(frozen=True)
class Project:
    """A project whose package is imported from a folder, or is installed. A worker that calls it enters it.

    Attributes:
        package: The name of its package.
        source: The folder that the package is imported from.
        fingerprint: Stands for the source; empty for an installed package, which is the workers' own.
        logging: The project's logging configuration.
        archive: The source as a zip file, for workers that do not see the folder; empty where all do.
    """

    package: str
    source: str
    fingerprint: str
    logging: dict[str, Any] = field(default_factory=dict, repr=False)
    archive: bytes = field(default=b"", repr=False)

    def with_archive(self) -> Project:
        """The same with its source in it, unless it is installed.

        Raises:
            ClusterError: The source is too large to travel.
        """
        if not self.fingerprint:
            return self
        files = list(_files(Path(self.source)))
        if sum(file.stat().st_size for file in files) > MOST_BYTES:
            raise ClusterError(
                f"The folder {self.source} holds more than {MOST_BYTES // 1_000_000} MB, too much to send to every worker. "
                f"Move data out of it, or install the package {self.package!r} here and on the workers"
            )
        return replace(self, archive=_zipped(files, Path(self.source)))

    def __call__(self) -> None:
        """Have the package, its settings and its logging here as they are in the driver. Costs nothing when they are.

        Raises:
            ClusterError: The package, or something that it needs, cannot be imported here.
        """
        with _lock:
            if _entered.get(self.package) == self.fingerprint:
                return
            self.make_importable()
            try:
                importlib.import_module(self.package)
            except ImportError as error:
                raise ClusterError(
                    f"A worker cannot import the project's package {self.package!r} ({error}). "
                    "Install there what the project needs, or the project itself"
                ) from error
            framework.configure_project(self.package)
            self._configure_logging()
            _entered[self.package] = self.fingerprint

    @contextlib.contextmanager
    def hushed(self, name: str) -> Iterator[bool]:
        """While this is open, a package tells only what is wrong here, unless the project's logging says how much it tells.

        Gives whether the project leaves it to us.
        """
        is_ours = name not in self.logging.get("loggers", {})
        logger = logging.getLogger(name)
        before = logger.level
        if is_ours:
            logger.setLevel(logging.WARNING)
        try:
            yield is_ours
        finally:
            if is_ours:
                logger.setLevel(before)

    def make_importable(self) -> None:
        """Have the package found in its source, in place of an older one."""
        with _lock:
            if not self.fingerprint or _placed.get(self.package) == self.fingerprint:
                return
            folder = str(self._folder())
            if folder in sys.path:
                sys.path.remove(folder)
            sys.path.insert(0, folder)
            _forget_modules(self.package)
            _placed[self.package] = self.fingerprint

    def _folder(self) -> Path:
        """Where the source is on this machine: where the driver has it, or unpacked."""
        source = Path(self.source)
        if not self.archive or (source.is_dir() and _fingerprint(source) == self.fingerprint):
            return source
        folder = Path(tempfile.mkdtemp(prefix=f"penstock-{self.package}-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(self.archive)) as archive:
            archive.extractall(folder)
        return folder

    def _configure_logging(self) -> None:
        try:
            logging.config.dictConfig(self.logging)
        except ValueError as error:
            # A log file in a folder that is on the driver's machine only, for instance: no reason not to run.
            _LOG.warning("This worker logs in its own way, since the project's does not work here: %s", error)
        follow_kedro()


def current_project() -> Project | None:
    """The project that this process runs in; None outside of a project."""
    package = framework.PACKAGE_NAME
    found = importlib.util.find_spec(package) if package else None
    if package is None or found is None or not found.submodule_search_locations:
        return None
    source = Path(found.submodule_search_locations[0]).resolve().parents[package.count(".")]
    fingerprint = "" if _INSTALLED.intersection(source.parts) else _fingerprint(source)
    # Workers that are threads of this process have what they need.
    _placed[package] = _entered[package] = fingerprint
    return Project(package, str(source), fingerprint, dict(framework.LOGGING.data))


def follow_kedro() -> None:
    """Let Penstock tell as much as Kedro does, unless the project's logging says how much it tells."""
    ours = logging.getLogger("penstock")
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.getLogger("kedro").level)


def _files(source: Path) -> Iterator[Path]:
    """The files of a source folder, in an order of their own: no compiled, hidden or installed ones."""
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        odd = any(part in _LEFT_OUT or part.startswith(".") or part.endswith(".egg-info") for part in parts)
        if path.is_file() and not odd:
            yield path


def _fingerprint(source: Path) -> str:
    # The place counts as well: a project finds its files from where its modules are.
    digest = hashlib.blake2b(str(source).encode(), digest_size=16)
    for path in _files(source):
        if path.suffix == ".py":
            digest.update(path.relative_to(source).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _zipped(files: list[Path], source: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(source))
    return file.getvalue()


def _forget_modules(package: str) -> None:
    top = package.partition(".")[0]
    for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()
