"""The Kedro project of this process, in a form that workers can load.

A node's function is pickled as the name of its module. A worker has to import that module with the same code, although the
source may have changed since the worker started.
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

MAX_SOURCE_BYTES = 20_000_000
"""The largest source folder that is sent to workers."""

_INSTALLED = {"site-packages", "dist-packages"}
_SKIPPED_FOLDERS = {"__pycache__", ".ipynb_checkpoints"}

_NEVER_IMPORTED = {"conftest", "setup", "tests"}
"""Modules beside the package that are in many projects, and that no node imports."""

_placed: dict[str, tuple[str, str]] = {}
"""The fingerprint and the folder of the source that this process imports each top-level module from."""

_placed_projects: dict[str, Project] = {}
"""The project that another process has sent, by the folder that this process imports it from."""

_entered: dict[str, str] = {}
"""The same for packages whose settings and logging are loaded, too."""
_lock = threading.RLock()


@dataclass(frozen=True)
class Project:
    """A project whose package is imported from a folder, or is installed. Calling it loads the project in this process.

    Attributes:
        package: The name of its package.
        source: The folder that the package is imported from.
        fingerprint: A hash of the source; empty for an installed package, which workers have installed as well.
        modules: The top-level modules of the source, of which one is the package.
        logging: The project's logging configuration.
        archive: The source as a zip file, for workers that do not see the folder; otherwise empty.
    """

    package: str
    source: str
    fingerprint: str
    modules: frozenset[str]
    logging: dict[str, Any] = field(default_factory=dict, repr=False)
    archive: bytes = field(default=b"", repr=False)

    def with_archive(self) -> Project:
        """A copy with the source in it, unless the package is installed.

        Raises:
            ClusterError: The source is too large to be sent.
        """
        if not self.fingerprint or self.archive:
            return self
        files = list(_files(Path(self.source)))
        if sum(file.stat().st_size for file in files) > MAX_SOURCE_BYTES:
            raise ClusterError(
                f"The folder {self.source} holds more than {MAX_SOURCE_BYTES // 1_000_000} MB, too much to send to every worker. "
                f"Move data out of it, or install the package {self.package!r} here and on the workers"
            )
        return replace(self, archive=_zipped(files, Path(self.source)))

    def __call__(self) -> None:
        """Load the package, its settings and its logging in this process, unless they are loaded.

        Raises:
            ClusterError: The package, or a package that it needs, cannot be imported here.
        """
        with _lock:
            if not self._make_importable() and _entered.get(self.package) == self.fingerprint:
                return
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

    def __str__(self) -> str:
        return f"package {self.package!r} in {self.source}"

    def _make_importable(self) -> bool:
        """Put the source folder first in `sys.path`, and forget modules of an older source, or of another project.

        Returns:
            Whether this process had other modules until now.
        """
        older = [_placed.get(module, ("", "")) for module in self.modules]
        if all(fingerprint == self.fingerprint for fingerprint, _ in older):
            return False
        for _, folder in older:
            _remove_from_path(folder)
        self._place()
        _forget_modules(self.modules)
        return True

    def _place(self) -> None:
        folder = str(self._folder()) if self.fingerprint else ""
        if folder:
            _remove_from_path(folder)
            sys.path.insert(0, folder)
            _placed_projects[folder] = self
        _placed.update(dict.fromkeys(self.modules, (self.fingerprint, folder)))

    def _folder(self) -> Path:
        """The source folder on this machine: the driver's, if it is there with the same files, or the unpacked archive."""
        source = Path(self.source)
        if not self.archive or (source.is_dir() and _fingerprint(source) == self.fingerprint):
            return source
        folder = Path(tempfile.mkdtemp(prefix=f"penstock-{self.package}-")).resolve()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(self.archive)) as archive:
            archive.extractall(folder)
        return folder

    def _configure_logging(self) -> None:
        try:
            logging.config.dictConfig(self.logging)
        except ValueError as error:
            # For instance, a log file in a folder that only the driver's machine has. Nodes can run without it.
            _LOG.warning(
                "The project's logging does not work on this worker, which logs in its own way: %s", error
            )
        use_kedro_log_level()


@contextlib.contextmanager
def quiet_logger(name: str) -> Iterator[bool]:
    """Inside this block, a logger passes warnings only, unless there is no project, or its logging configures the logger.

    Args:
        name: The name of the logger.

    Yields:
        Whether the logger is quiet.
    """
    is_quiet = bool(framework.PACKAGE_NAME) and name not in framework.LOGGING.data.get("loggers", {})
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.WARNING if is_quiet else before)
    try:
        yield is_quiet
    finally:
        logger.setLevel(before)


def current_project() -> Project | None:
    """The project of this process; None outside of a project. On a worker it is the one that was sent there."""
    package = framework.PACKAGE_NAME
    found = importlib.util.find_spec(package) if package else None
    if package is None or found is None or not found.submodule_search_locations:
        return None
    source = Path(found.submodule_search_locations[0]).resolve().parents[package.count(".")]
    if str(source) in _placed_projects:
        return _placed_projects[str(source)]
    is_installed = bool(_INSTALLED.intersection(source.parts))
    fingerprint = "" if is_installed else _fingerprint(source)
    modules = {package.partition(".")[0]} | (set() if is_installed else _top_level_modules(source))
    # This process has loaded the project, also for workers that are threads of it.
    _placed.update(dict.fromkeys(modules, (fingerprint, "" if is_installed else str(source))))
    _entered[package] = fingerprint
    return Project(package, str(source), fingerprint, frozenset(modules), dict(framework.LOGGING.data))


def use_kedro_log_level() -> None:
    """Give Penstock's logger the level of Kedro's, unless the project's logging configures it."""
    ours = logging.getLogger("penstock")
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.getLogger("kedro").level)


def _files(source: Path) -> Iterator[Path]:
    """The sorted files of a source folder, without compiled, hidden and installed ones."""
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        odd = any(
            part in _SKIPPED_FOLDERS or part.startswith(".") or part.endswith(".egg-info") for part in parts
        )
        if path.is_file() and not odd:
            yield path


def _fingerprint(source: Path) -> str:
    # The path counts as well: projects find their files relative to their modules.
    digest = hashlib.blake2b(str(source).encode(), digest_size=16)
    for path in _files(source):
        if path.suffix == ".py":
            digest.update(path.relative_to(source).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _top_level_modules(source: Path) -> set[str]:
    paths = [path.relative_to(source) for path in _files(source) if path.suffix == ".py"]
    return {path.parts[0].removesuffix(".py") for path in paths} - _NEVER_IMPORTED


def _zipped(files: list[Path], source: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(source))
    return file.getvalue()


def _remove_from_path(folder: str) -> None:
    if folder and folder in sys.path:
        sys.path.remove(folder)
    _placed_projects.pop(folder, None)


def _forget_modules(top_level: frozenset[str]) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in top_level]:
        del sys.modules[name]
    importlib.invalidate_caches()
