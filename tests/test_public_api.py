"""The public names, where they are imported from, how they are used, and the oldest releases that they work with."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import cloudpickle
import pytest
from packaging.requirements import Requirement

import penstock

pytestmark = pytest.mark.pythons


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent

NAMES_BY_PACKAGE = {
    "penstock.pipeline": ["GroupedNodes", "Node", "Pipeline", "node", "pipeline"],
    "penstock.pipeline.pipeline": [
        "CircularDependencyError",
        "ConfirmNotUniqueError",
        "OutputNotUniqueError",
        "PipelineError",
    ],
    "penstock.io": [
        "AbstractDataset",
        "CSVDataset",
        "CachedDataset",
        "DataCatalog",
        "DatasetAlreadyExistsError",
        "DatasetError",
        "DatasetNotFoundError",
        "JSONDataset",
        "MemoryDataset",
        "ParquetDataset",
        "PickleDataset",
        "SharedMemoryDataCatalog",
        "TextDataset",
        "parameters",
    ],
    "penstock.runner": [
        "AbstractRunner",
        "DaskRunner",
        "NodePolicy",
        "NodeRecord",
        "ParallelRunner",
        "RunResult",
        "SequentialRunner",
        "Task",
        "ThreadRunner",
        "select_runner",
    ],
    "penstock.hooks": [
        "DatasetSpecs",
        "NodeSpecs",
        "PipelineSpecs",
        "create_hook_manager",
        "hook_impl",
        "hook_spec",
    ],
}
"""As the contract has them."""

PUBLIC_NAMES = [(package, name) for package, names in NAMES_BY_PACKAGE.items() for name in names]

PACKAGES = ["penstock", "penstock.pipeline", "penstock.io", "penstock.graph", "penstock.runner"]

PACKAGE_AND_FUNCTION = "pipeline"
"""Of this name `penstock` has the package, as Kedro does; the function of that name is in the package."""

PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

OLDEST = {
    requirement.name: str(requirement.specifier).removeprefix(">=")
    for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in map(Requirement, texts)
    if requirement.name != "penstock"
}
"""The oldest release of each package that the library or one of its extras needs."""


@pytest.mark.parametrize(("package", "name"), PUBLIC_NAMES)
def test_a_name_is_where_the_contract_has_it(package, name):
    assert hasattr(importlib.import_module(package), name)


@pytest.mark.parametrize(("package", "name"), PUBLIC_NAMES)
def test_every_public_name_is_importable_from_penstock_too(package, name):
    assert name in penstock.__all__
    if name != PACKAGE_AND_FUNCTION:
        assert getattr(penstock, name) is getattr(importlib.import_module(package), name)


@pytest.mark.parametrize("error", [name for name in vars(penstock.errors) if name.endswith("Error")])
def test_every_error_is_importable_from_penstock(error):
    assert error in penstock.__all__


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_lists_it_has(package):
    """And lists in order, and in `dir`, where notebooks look; `tests/test_architecture.py` sees that nothing is left out."""
    module = importlib.import_module(package)

    assert module.__all__ == sorted(set(module.__all__))
    assert set(module.__all__) <= set(dir(module))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", ["penstock", "penstock.runner"])
def test_a_name_that_is_not_there_is_refused(package):
    """`__getattr__` fetches what is costly to import, and nothing else."""
    with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'TurbineRunner'"):
        _ = importlib.import_module(package).TurbineRunner


def test_the_version_is_that_of_the_installed_package():
    assert penstock.__version__ == importlib.metadata.version("penstock")


def test_the_api_works_as_its_users_write_it(tmp_path):
    """The same file passes `mypy --strict`: so what is typed is true."""
    script = HERE / "typing" / "api.py"

    done = subprocess.run(
        [sys.executable, "-W", "error", script, tmp_path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_penstock_pipeline_is_a_module_like_others():
    """Type checkers know no module that can be called, and nothing pickles one that is of another class than modules are."""
    assert type(penstock.pipeline) is types.ModuleType
    with pytest.raises(TypeError, match="'module' object is not callable"):
        penstock.pipeline([])


def test_a_node_that_runs_a_pipeline_can_be_pickled():
    """Its function refers to the package, which it has imported with `from penstock import pipeline`."""
    package = penstock.pipeline

    def run_another(text):
        pipe = package.pipeline([package.node(len, "text", "length", name="count")])
        return penstock.run(pipe, {"text": text})["length"].load()

    sent = pickle.loads(cloudpickle.dumps(penstock.node(run_another, "text", "length", name="outer")))

    assert sent.run({"text": "abc"}) == {"length": 3}


def test_the_types_travel_with_the_package():
    assert (Path(penstock.__file__).parent / "py.typed").exists()


def test_the_library_needs_five_packages_and_no_more():
    needed = {Requirement(text).name for text in PROJECT["dependencies"]}

    assert needed == {"cloudpickle", "dask", "distributed", "loky", "pluggy"}


def test_the_oldest_releases_are_those_that_tox_installs():
    """A lower bound without a test is a guess."""
    lines = (HERE / "oldest.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]

    assert {pin.name: str(pin.specifier).removeprefix("==") for pin in pins} == OLDEST


@pytest.mark.skipif(os.environ.get("TOX_ENV_NAME") != "mindeps", reason="only there are the oldest releases")
@pytest.mark.parametrize("package", sorted(OLDEST))
def test_the_oldest_release_is_installed(package):
    assert importlib.metadata.version(package) == OLDEST[package]


@pytest.mark.parametrize(
    "package", ["pipeline", "io", "runner", "hooks", "errors", "graph", "kedro", "protocols", "testing"]
)
def test_the_first_page_of_the_reference_names_each_package_that_has_a_page(package):
    """The page links the names, and nothing else leads to `penstock.kedro` or `penstock.errors`."""
    assert f"`penstock.{package}`" in penstock.__doc__
