"""The rules of the house, kept with the standard library only. Each rule is seen to fail on a planted violation."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.newest


SOURCE = Path(__file__).parents[1] / "src" / "penstock"

LAYERS = [
    {"_error_texts", "_kedro_errors"},
    {"errors", "_typing"},
    {"_modules", "_pickling", "_similar", "_threads"},
    {"logs", "pipeline", "io"},
    {"hooks"},
    {"tasks"},
    {"graph"},
    {"runs"},
    {"runner"},
    {"__init__", "protocols"},
    {"kedro", "testing"},
]
"""From the ground up: a module imports from its own part of the package and from the layers below, never from beside or above."""

HOMES = {
    "dask.task_spec": {"graph/taskspec.py"},
    "dask._task_spec": set(),
    "distributed": {"runner/cluster/"},
    "dask_jobqueue": {"runner/cluster/"},
    "kedro": {"kedro/"},
}
"""What is imported in one file only, or in one package, whose place ends with a slash; nowhere, if it has no home."""

NO_DASK = {
    "_error_texts",
    "_kedro_errors",
    "errors",
    "_typing",
    "_modules",
    "_pickling",
    "_similar",
    "_threads",
    "logs",
    "pipeline",
    "io",
    "hooks",
}
"""Parts of the package that know nothing of Dask."""

MOST_LINES = 400

MOST_MODULES = 13
"""In one folder, beside its `__init__`: about a dozen can be read at a glance."""

UNCLEAR = re.compile(r"\b(nobody|somebody|whoever|told|that of)\b", re.IGNORECASE)
"""Words that hide who does what; they are in no docstring, comment, error or log line."""

HEAVY = {"distributed", "pandas", "kedro"}
"""What `import penstock` leaves alone."""


class Parsed(NamedTuple):
    """What all copies of a file have in common."""

    tree: ast.Module
    importing: list[ast.AST]
    """The nodes that may import something."""


# As many as there are modules, and a violation planted in one of them, again and again.
@lru_cache(maxsize=300)
def parsed(text: str) -> Parsed:
    tree = ast.parse(text)
    kinds = (ast.Import, ast.ImportFrom, ast.Call, ast.Attribute)
    return Parsed(tree, [node for node in ast.walk(tree) if isinstance(node, kinds)])


@dataclass(frozen=True)
class Module:
    """One file of the package, parsed."""

    root: Path
    path: Path

    @property
    def place(self) -> str:
        return self.path.relative_to(self.root).as_posix()

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def name(self) -> str:
        parts = self.path.relative_to(self.root).with_suffix("").parts
        return ".".join(("penstock", *(parts[:-1] if self.is_package else parts)))

    @property
    def tree(self) -> ast.Module:
        return self._parsed.tree

    @cached_property
    def _parsed(self) -> Parsed:
        return parsed(self.path.read_text(encoding="utf-8"))

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and name of all that is imported, also inside functions, for types, or by `import_module`."""
        return list(self._imports())

    def _imports(self) -> Iterator[tuple[int, str]]:
        for node in self._parsed.importing:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from ((node.lineno, self._target(base, alias.name)) for alias in node.names)
            elif isinstance(node, ast.Call) and _is_import_call(node.func) and node.args:
                name = node.args[0]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    yield node.lineno, name.value
            elif isinstance(node, ast.Attribute) and node.attr == "_task_spec":
                yield node.lineno, "dask._task_spec"

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        up = node.level - 1 if self.is_package else node.level
        return ".".join([*package[: len(package) - up], *filter(None, [node.module])])

    def _target(self, base: str, name: str) -> str:
        """`from base import name` imports a module if there is one of that name, and else from `base`."""
        if f"{base}.{name}" in HOMES:
            return f"{base}.{name}"
        if base.partition(".")[0] != "penstock":
            return base
        folder = self.root.joinpath(*base.split(".")[1:])
        is_module = (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()
        return f"{base}.{name}" if is_module else base


def _is_import_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


@lru_cache(maxsize=2)
def modules(root: Path) -> list[Module]:
    return [Module(root, path) for path in sorted(root.rglob("*.py"))]


def part(name: str) -> str:
    """The part of the package that a module belongs to: `penstock.tasks.dataset_tasks` to `graph`."""
    return [*name.split("."), "__init__"][1]


def layer(name: str) -> int:
    found = [height for height, parts in enumerate(LAYERS) if part(name) in parts]
    return found[0] if found else -1


def is_from(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def imports_that_do_not_point_down(root: Path) -> list[str]:
    return [
        f"{module.place}:{line} imports {target}"
        for module in modules(root)
        for line, target in module.imports
        if is_from(target, "penstock")
        and part(module.name) != part(target)
        and layer(target) >= layer(module.name)
    ]


def modules_without_a_layer(root: Path) -> list[str]:
    return [f"{module.place} is in no layer" for module in modules(root) if layer(module.name) < 0]


def circles(root: Path) -> list[str]:
    """Modules that import each other, also if only for types: neither can be understood without the other."""
    known = {module.name for module in modules(root)}
    needed = {
        module.name: {target for _, target in module.imports if target in known and target != module.name}
        for module in modules(root)
    }
    try:
        graphlib.TopologicalSorter(needed).prepare()
    except graphlib.CycleError as error:
        return [f"circle of imports: {' <- '.join(error.args[1])}"]
    return []


def imports_away_from_home(root: Path) -> list[str]:
    return [
        f"{module.place}:{line} imports {target}"
        for module in modules(root)
        for line, target in module.imports
        for package, homes in HOMES.items()
        if is_from(target, package) and not any(is_in(module.place, home) for home in homes)
    ]


def is_in(place: str, home: str) -> bool:
    return place.startswith(home) if home.endswith("/") else place == home


def imports_of_dask_below_the_graph(root: Path) -> list[str]:
    return [
        f"{module.place}:{line} imports {target}"
        for module in modules(root)
        for line, target in module.imports
        if is_from(target, "dask") and part(module.name) in NO_DASK
    ]


def files_too_long(root: Path) -> list[str]:
    lengths = {
        module.place: len(module.path.read_text(encoding="utf-8").splitlines()) for module in modules(root)
    }
    return [f"{place} has {length} lines" for place, length in lengths.items() if length > MOST_LINES]


def folders_too_full(root: Path) -> list[str]:
    counts = Counter(Path(module.place).parent for module in modules(root) if not module.is_package)
    return [
        f"{folder.as_posix()} has {count} modules" for folder, count in counts.items() if count > MOST_MODULES
    ]


def unclear_words(root: Path) -> list[str]:
    return [
        f"{module.place}:{number} says {found[0]!r}"
        for module in modules(root)
        for number, line in enumerate(module.path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := UNCLEAR.search(line))
    ]


def untrue_lists_of_names(root: Path) -> list[str]:
    """Where `__all__` is missing from a package, names what is not there, leaves out what is, or is not sorted."""
    return [
        f"{module.place} {wrong}"
        for module in modules(root)
        for wrong in _untrue(module, listed=_listed(module))
    ]


def _untrue(module: Module, listed: list[str] | None) -> Iterator[str]:
    bound, public = _bound(module)
    if listed is None:
        if module.is_package and public:
            yield "has no __all__"
        return
    if listed != sorted(set(listed)):
        yield "has an __all__ that is not sorted, or names something twice"
    yield from (f"lists {name}, which is not there" for name in sorted(set(listed) - bound))
    yield from (f"does not list {name}" for name in sorted(public - set(listed)))


def _listed(module: Module) -> list[str] | None:
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if [ast.unparse(target) for target in targets if target is not None] == ["__all__"]:
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def _bound(module: Module) -> tuple[set[str], set[str]]:
    """All names that the module binds, and those that are there to be imported: its own, or brought up for no use of its own."""
    bound, public = set(), set()
    used = {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name)} | {"annotations"}
    for node in module.tree.body:
        inner = node.body if isinstance(node, ast.If) else [node]
        for statement in inner:
            if isinstance(statement, ast.ImportFrom):
                names = {alias.asname or alias.name for alias in statement.names}
                own = names - used if module.is_package else set()
            elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
                names = own = {statement.name}
            elif isinstance(statement, ast.Assign):
                names = own = {target.id for target in statement.targets if isinstance(target, ast.Name)}
            elif isinstance(statement, ast.AnnAssign):
                names, own = {ast.unparse(statement.target)}, set()
            else:
                continue
            bound |= names
            public |= {name for name in own if not name.startswith("_")}
    return bound, public


def loaded_by_the_import(root: Path) -> list[str]:
    """Which of the heavy packages `import penstock` loads."""
    script = "import sys, penstock; print(penstock.__file__, *sys.modules)"
    # Not measured: coverage would look for the lines of a copy that is gone by then.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment["PYTHONPATH"] = str(root.parent)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    imported_file, *loaded = done.stdout.split()
    assert Path(imported_file).is_relative_to(root)
    return [f"import penstock loads {name}" for name in sorted(HEAVY & set(loaded))]


@pytest.fixture(scope="module", autouse=True)
def no_trees_are_kept():
    """They are a million objects, through which each collection of garbage in later tests would go."""
    yield
    parsed.cache_clear()
    modules.cache_clear()


# The house as it is


def test_imports_point_down():
    assert imports_that_do_not_point_down(SOURCE) == []


def test_every_module_has_a_layer():
    assert modules_without_a_layer(SOURCE) == []


def test_no_modules_import_each_other():
    assert circles(SOURCE) == []


def test_what_may_change_in_dask_is_imported_in_one_place_each():
    assert imports_away_from_home(SOURCE) == []


def test_pipelines_and_data_know_no_dask():
    assert imports_of_dask_below_the_graph(SOURCE) == []


def test_no_file_is_longer_than_400_lines():
    assert files_too_long(SOURCE) == []


def test_no_folder_has_more_modules_than_can_be_read_at_a_glance():
    assert folders_too_full(SOURCE) == []


def test_every_text_says_who_does_what():
    assert unclear_words(SOURCE) == []


def test_every_list_of_names_is_true():
    assert untrue_lists_of_names(SOURCE) == []


def test_importing_penstock_loads_nothing_heavy():
    """`import distributed` takes longer than all the rest together, and every worker would pay for pandas."""
    assert loaded_by_the_import(SOURCE) == []


# Each rule is broken in a copy, and seen to fail


class Plant(NamedTuple):
    """A violation: code written under a file, the rule that must find it, and what the rule calls it."""

    rule: Callable[[Path], list[str]]
    place: str
    code: str
    found: str


PLANTS = {
    "an import that points up": Plant(
        imports_that_do_not_point_down,
        "io/memory.py",
        "from penstock.graph.plan import Plan",
        "imports penstock.graph.plan",
    ),
    "an import from beside": Plant(
        imports_that_do_not_point_down, "pipeline/node.py", "import penstock.io", "imports penstock.io"
    ),
    "an import for types only": Plant(
        imports_that_do_not_point_down,
        "graph/plan.py",
        "if TYPE_CHECKING:\n    from penstock.runner import RunResult",
        "imports penstock.runner",
    ),
    "an import inside a function": Plant(
        imports_that_do_not_point_down,
        "errors.py",
        "def late():\n    from penstock import hooks",
        "imports penstock.hooks",
    ),
    "a relative import": Plant(
        imports_that_do_not_point_down,
        "graph/keys.py",
        "from ..runner import task",
        "imports penstock.runner.task",
    ),
    "an import by text": Plant(
        imports_that_do_not_point_down,
        "hooks/specs.py",
        "importlib.import_module('penstock.runner')",
        "imports penstock.runner",
    ),
    "an import of the package itself": Plant(
        imports_that_do_not_point_down,
        "runner/task.py",
        "from penstock import __version__",
        "imports penstock",
    ),
    "an import of the door for Kedro": Plant(
        imports_that_do_not_point_down, "__init__.py", "import penstock.kedro", "imports penstock.kedro"
    ),
    "a module without a layer": Plant(modules_without_a_layer, "utils.py", "", "in no layer"),
    "modules that import each other": Plant(
        circles, "pipeline/transcoding.py", "import penstock.pipeline.node", "penstock.pipeline.node"
    ),
    "modules that import each other for types": Plant(
        circles,
        "pipeline/formatting.py",
        "if TYPE_CHECKING:\n    from penstock.pipeline.pipeline import Pipeline",
        "penstock.pipeline.pipeline",
    ),
    "a second place with the task spec": Plant(
        imports_away_from_home,
        "tasks/dataset_tasks.py",
        "from dask._task_spec import Task",
        "imports dask._task_spec",
    ),
    "the private task spec": Plant(
        imports_away_from_home,
        "graph/taskspec.py",
        "from dask._task_spec import Task",
        "imports dask._task_spec",
    ),
    "the task spec as a name": Plant(
        imports_away_from_home, "graph/keys.py", "from dask import _task_spec", "imports dask._task_spec"
    ),
    "the task spec as an attribute": Plant(
        imports_away_from_home,
        "graph/keys.py",
        "import dask\nTask = dask._task_spec.Task",
        "imports dask._task_spec",
    ),
    "a second place with distributed": Plant(
        imports_away_from_home,
        "runner/abstract.py",
        "def late():\n    from distributed.deploy import Cluster",
        "imports distributed.deploy",
    ),
    "Kedro outside of its door": Plant(
        imports_away_from_home,
        "hooks/specs.py",
        "from kedro.framework.hooks import hook_impl",
        "imports kedro.framework.hooks",
    ),
    "Dask in a pipeline": Plant(
        imports_of_dask_below_the_graph,
        "pipeline/topology.py",
        "from dask.core import toposort",
        "imports dask.core",
    ),
    "a long file": Plant(files_too_long, "hooks/specs.py", "\n" * MOST_LINES, "lines"),
    "an unclear word": Plant(unclear_words, "errors.py", "# Somebody calls it.", "says 'Somebody'"),
    "a listed name that is not there": Plant(
        untrue_lists_of_names, "_pickling.py", '__all__ = ["absent", "why_not_sendable"]', "lists absent"
    ),
    "a name that is left out": Plant(
        untrue_lists_of_names,
        "graph/__init__.py",
        "from penstock.graph.keys import task_key",
        "does not list task_key",
    ),
    "a list that is not sorted": Plant(
        untrue_lists_of_names, "_pickling.py", '__all__ = ["why_not_sendable", "MAX_DEPTH"]', "not sorted"
    ),
    "a package without a list": Plant(
        untrue_lists_of_names, "new/__init__.py", "from penstock.io import DataCatalog", "has no __all__"
    ),
    "an import that loads something heavy": Plant(
        loaded_by_the_import, "errors.py", "import distributed", "loads distributed"
    ),
}


def pytest_generate_tests(metafunc: Any) -> None:
    if "plant" in metafunc.fixturenames:
        metafunc.parametrize("plant", PLANTS.values(), ids=PLANTS)


def test_a_folder_with_one_module_too_many_is_found(tmp_path):
    folder = tmp_path / "penstock" / "rooms"
    folder.mkdir(parents=True)
    for number in range(MOST_MODULES + 1):
        (folder / f"room_{number}.py").touch()

    assert folders_too_full(tmp_path / "penstock") == ["rooms has 14 modules"]


def test_a_planted_violation_is_found(plant, tmp_path):
    root = tmp_path / "penstock"
    shutil.copytree(SOURCE, root, ignore=shutil.ignore_patterns("__pycache__"))
    path = root / plant.place
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before}\n{plant.code}\n", encoding="utf-8")

    violations = set(plant.rule(root)) - set(plant.rule(SOURCE))

    assert any(plant.found in violation for violation in violations), violations
