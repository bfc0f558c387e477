"""The modules that tasks import: which ones, whether a process can import them, and which source of them it has loaded."""

from __future__ import annotations

import functools
import hashlib
import importlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import cloudpickle

_INSTALLED = tuple(f"{os.sep}{folder}{os.sep}" for folder in ("site-packages", "dist-packages"))

_NOT_OWN = {"penstock", "__main__", *sys.stdlib_module_names}


def importable_modules(objects: Iterable[object]) -> set[str]:
    """The modules that other processes import to unpickle these functions and classes, without those of the standard library.

    Args:
        objects: Functions, classes and callable objects.
    """
    return {
        module
        for module in filter(None, map(_module, objects))
        if _top(module) not in _NOT_OWN and not _is_pickled_by_value(module)
    }


def _is_pickled_by_value(module: str) -> bool:
    by_value = cloudpickle.list_registry_pickle_by_value()
    return any(module == each or module.startswith(f"{each}.") for each in by_value)


def _module(function: Any) -> str | None:
    """The module from which another process imports a function or class; None if its code is pickled."""
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__qualname__"):
        function = type(function)
    name = getattr(function, "__module__", None)
    found: Any = sys.modules.get(name or "")
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return name if found is function else None


def _top(module: str) -> str:
    return module.partition(".")[0]


# Whether a process can import them


@dataclass(frozen=True)
class ImportFailure:
    """A module that a process cannot import.

    Attributes:
        module: Its name.
        reason: The exception, as text.
        package_place: Where the process has its package from; empty if it has no such package.
    """

    module: str
    reason: str
    package_place: str

    @property
    def has_other_package(self) -> bool:
        """Whether the process has another package of the name than this one."""
        return self.package_place not in {"", _place(self.module)}

    def __str__(self) -> str:
        package = ""
        if self.has_other_package:
            package = f"; {_top(self.module)!r} is {self.package_place} there, and {_place(self.module)} here"
        return f"cannot import {self.module} ({self.reason}){package}"


def _import_failures(modules: Iterable[str]) -> list[ImportFailure]:
    """Import modules; gives those that cannot be imported, each with the reason."""
    failures = []
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001, PERF203 - a module may raise anything
            failures.append(ImportFailure(module, f"{type(error).__name__}: {error}", _place(module)))
    return failures


def _place(module: str) -> str:
    """Where this process has the top-level package or module from."""
    loaded = sys.modules.get(_top(module))
    # A package without an `__init__.py` has no file.
    folders = [*getattr(loaded, "__path__", ())]
    return ", ".join(folders) or getattr(loaded, "__file__", None) or ""


# Which source a process has loaded


@dataclass(frozen=True)
class LoadedSource:
    """The source of a loaded module.

    Attributes:
        path: Its file.
        digest: A hash of the source.
        is_certain: Whether the file surely has not changed between the import and the time when it was read for the hash.
    """

    path: str
    digest: str
    is_certain: bool


@dataclass
class _LoadedSources:
    """Knows what this process has loaded although files change later: it reads each file once, soon after the import."""

    _last_look: float = field(default_factory=time.time)
    _source_by_module: dict[str, tuple[ModuleSpec, LoadedSource | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, *, just_imported: bool = False) -> dict[str, LoadedSource]:
        """The sources of the user's own modules: not those of the standard library, nor of installed packages.

        Args:
            just_imported: What this process has imported since the last look is as the files are.
        """
        with self._lock:
            now = time.time()
            unchanged_since = math.inf if just_imported else self._last_look
            specs = [(name, getattr(module, "__spec__", None)) for name, module in sys.modules.copy().items()]
            self._source_by_module = {
                name: self._known(name, spec) or (spec, _read_source(name, spec, unchanged_since))
                for name, spec in specs
                if spec is not None
            }
            self._last_look = now
            return {name: source for name, (_, source) in self._source_by_module.items() if source}

    def _known(self, name: str, spec: ModuleSpec) -> tuple[ModuleSpec, LoadedSource | None] | None:
        known = self._source_by_module.get(name)
        # A module that is loaded again has a new specification.
        return known if known and known[0] is spec else None


def _read_source(name: str, spec: ModuleSpec, unchanged_since: float) -> LoadedSource | None:
    path = spec.origin or ""
    if _top(name) in _NOT_OWN or not path.endswith(".py") or any(folder in path for folder in _INSTALLED):
        return None
    try:
        digest = _digest(path)
        return LoadedSource(path, digest, is_certain=Path(path).stat().st_mtime <= unchanged_since)
    except OSError:
        return None


def _digest(path: str) -> str:
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()


_LOADED = _LoadedSources()


def loaded_digests() -> dict[str, str]:
    """Hashes of the sources of the user's own modules that this process has loaded, and that others import."""
    loaded = _LOADED.look().items()
    return {name: source.digest for name, source in loaded if not _is_pickled_by_value(name)}


def import_and_compare(
    modules: Iterable[str], expected: Mapping[str, str]
) -> tuple[list[ImportFailure], dict[str, LoadedSource]]:
    """Import modules on a worker, and compare what it has loaded with the driver.

    Args:
        modules: What to import.
        expected: What `loaded_digests` gives in the driver.

    Returns:
        What cannot be imported; and the loaded modules that are not, or may not be, what the driver expects, of all packages of which
        the driver expects a module.
    """
    _LOADED.look()
    failures = _import_failures(modules)
    packages = {*map(_top, expected)}
    loaded = {
        name: source
        for name, source in _LOADED.look(just_imported=True).items()
        if _top(name) in packages and not (source.is_certain and source.digest == expected.get(name))
    }
    return failures, loaded


def differs_here(name: str, source: LoadedSource, expected: Mapping[str, str]) -> bool:
    """Whether a worker's module is not, or may not be, what this process would import.

    Args:
        name: The module.
        source: What the worker has loaded.
        expected: What `loaded_digests` gives here.
    """
    here = expected.get(name) or _unloaded_digest(name)
    return here is not None and not (source.is_certain and source.digest == here)


def _unloaded_digest(name: str) -> str | None:
    """The hash of the source that an import would load, of a module in a package that is loaded; None if there is none."""
    for folder in getattr(sys.modules.get(_top(name)), "__path__", ()):
        module = Path(folder, *name.split(".")[1:])
        for path in (module.with_suffix(".py"), module / "__init__.py"):
            if path.is_file():
                return _digest(str(path))
    return None
