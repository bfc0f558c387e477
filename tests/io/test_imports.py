import subprocess
import sys

import pytest

import penstock.io

pytestmark = pytest.mark.pythons


HEAVY = {"pandas", "numpy", "pyarrow", "dask", "distributed", "fsspec"}


# The package's own __init__ imports the other layers; here it is left out, so that only this layer is seen.
ALONE = f"""
import sys, types
sys.modules["penstock"] = types.ModuleType("penstock")
sys.modules["penstock"].__path__ = {penstock.__path__!r}
"""


def imported_by(script):
    script = f"{ALONE}\n{script}\nprint(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_importing_the_package_imports_nothing_heavy():
    assert not HEAVY & imported_by("import penstock.io")


def test_local_files_do_not_import_fsspec(tmp_path):
    """It takes 0.1 s to import, which every worker would pay."""
    script = f"from penstock.io import *; d = JSONDataset({str(tmp_path / 'x')!r}); d.save([1]); d.load(); d.exists(); d.release()"

    assert not HEAVY & imported_by(script)


@pytest.mark.parametrize(
    "name",
    [
        "AbstractDataset",
        "CSVDataset",
        "CachedDataset",
        "DataCatalog",
        "DatasetAlreadyExistsError",
        "DatasetError",
        "DatasetNotFoundError",
        "FileDataset",
        "JSONDataset",
        "MemoryDataset",
        "ParquetDataset",
        "PickleDataset",
        "SharedMemoryDataCatalog",
        "TextDataset",
        "parameters",
    ],
)
def test_the_public_names_are_there(name):
    assert name in penstock.io.__all__
    assert hasattr(penstock.io, name)


def test_there_are_no_other_public_names():
    assert len(penstock.io.__all__) == 15
