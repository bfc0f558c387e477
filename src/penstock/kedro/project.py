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

_placed: dict[str, str] = {}
"""The fingerprint of the source that this process imports each package from."""

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
        logging: The project's logging configuration.
        archive: The source as a zip file, for workers that do not see the folder; otherwise empty.
    """

    package: str
    source: str
    fingerprint: str
    logging: dict[str, Any] = field(default_factory=dict, repr=False)
    archive: bytes = field(default=b"", repr=False)

    def with_archive(self) -> Project:
        """A copy with the source in it, unless the package is installed.

        Raises:
            ClusterError: The source is too large to be sent.
        """
        if not self.fingerprint:
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
    def quiet_logger(self, name: str) -> Iterator[bool]:
        """Inside this block, a logger passes warnings only, unless the project's logging configures it.

        Yields:
            Whether the logger is quiet: False if the project configures it.
        """
        is_quiet = name not in self.logging.get("loggers", {})
        logger = logging.getLogger(name)
        before = logger.level
        logger.setLevel(logging.WARNING if is_quiet else before)
        try:
            yield is_quiet
        finally:
            logger.setLevel(before)

    def make_importable(self) -> None:
        """Put the source folder first in `sys.path`, and forget modules of an older source."""
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
        """The source folder on this machine: the driver's, if it is there with the same files, or the unpacked archive."""
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
            # For instance, a log file in a folder that only the driver's machine has. Nodes can run without it.
            _LOG.warning(
                "The project's logging does not work on this worker, which logs in its own way: %s", error
            )
        use_kedro_log_level()


def current_project() -> Project | None:
    """The project of this process; None outside of a project."""
    package = framework.PACKAGE_NAME
    found = importlib.util.find_spec(package) if package else None
    if package is None or found is None or not found.submodule_search_locations:
        return None
    source = Path(found.submodule_search_locations[0]).resolve().parents[package.count(".")]
    fingerprint = "" if _INSTALLED.intersection(source.parts) else _fingerprint(source)
    # This process has loaded the project, also for workers that are threads of it.
    _placed[package] = _entered[package] = fingerprint
    return Project(package, str(source), fingerprint, dict(framework.LOGGING.data))


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
