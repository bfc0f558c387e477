"""`python -m tests.reference FOLDER`: the reference of the public classes and functions, as pages for a browser.

`tox run -e docs` runs it. A warning of the generator ends it: a name that does not resolve, for instance.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import pdoc
import pdoc.render

import penstock

PACKAGES = (
    "penstock",
    "penstock.graph",
    "penstock.errors",
    "penstock.kedro",
    "penstock.protocols",
    "penstock.testing",
)
"""What gets pages. The packages that `penstock.__all__` names get pages as well."""

NO_PAGES = r"!penstock\.\w+\."
"""The modules inside these packages: users import from the packages."""


def build(folder: Path) -> Path:
    """Write the pages into the folder, and return the first one."""
    warnings.filterwarnings("error", module="pdoc")
    modules = [importlib.import_module(name) for name in (*PACKAGES, "penstock.runner")]
    for module in modules:
        _import_lazy_names(module)
    _show_methods_of_inner_classes([each for module in modules for each in vars(module).values()])
    pdoc.render.configure(docformat="google", footer_text=f"Penstock {penstock.__version__}")
    pdoc.pdoc(*PACKAGES, NO_PAGES, output_directory=folder)
    return folder / "index.html"


def _import_lazy_names(module: object) -> None:
    """Names that a module imports on first use are documented only when they are there."""
    for name in getattr(module, "__all__", ()):
        vars(module)[name] = getattr(module, name)


def _show_methods_of_inner_classes(members: list[object]) -> None:
    """Users do not know the base classes without a page: their methods are shown with the first class that has a page."""
    shown = {each for each in members if isinstance(each, type)}
    for cls in sorted(shown, key=lambda each: len(each.__mro__)):
        inner = [
            each for each in cls.__mro__ if each.__module__.startswith("penstock.") and each not in shown
        ]
        known = {name for each in cls.__mro__ if each in shown for name in vars(each)}
        methods = {name: value for base in reversed(inner) for name, value in vars(base).items()}
        for name in methods.keys() - known:
            if not name.startswith("_"):
                setattr(cls, name, methods[name])


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))  # noqa: T201 - where to look
