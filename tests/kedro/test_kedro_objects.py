"""The inside of Kedro's objects is as `penstock.io.kedro_objects` expects it: each private name has a test that notices a change."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import cloudpickle
import pytest
from kedro.framework.context import KedroContext
from kedro.io import DataCatalog, MemoryDataset
from kedro.io.cached_dataset import CachedDataset
from kedro.io.core import DatasetAlreadyExistsError, DatasetError, DatasetNotFoundError, Version
from kedro.io.shared_memory_dataset import SharedMemoryDataset
from pydantic import BaseModel

import penstock
from penstock import errors
from penstock.errors import PenstockError
from penstock.io import CachedDataset as OwnCached
from penstock.io import DataCatalog as OwnCatalog
from penstock.io import TextDataset
from penstock.io.kedro_objects import (
    appends,
    catalog_like,
    copy_mode_of,
    data_in_memory,
    inner_dataset,
    is_cached,
    is_kedros_file,
    is_plain_memory,
    is_shared_memory,
    local_path,
    missing_file,
    raise_with_dataset_name,
    release_cache,
    validators_of,
)
from penstock.pipeline import node, pipeline
from penstock.runner import SequentialRunner


def test_the_copy_mode_of_a_memory_dataset_is_read():
    """Else nodes would get deep copies of data that the catalog says to hand over as it is."""
    assert copy_mode_of(MemoryDataset([1], copy_mode="assign")) == "assign"
    assert copy_mode_of(MemoryDataset([1])) is None


def test_the_data_of_a_memory_dataset_is_read():
    """Else large data would count as small, and be sent with every task that reads it."""
    assert data_in_memory(MemoryDataset([1, 2])) == [1, 2]


def test_memory_datasets_are_recognised():
    assert is_plain_memory(MemoryDataset(1))
    assert is_shared_memory(SharedMemoryDataset())
    assert not is_shared_memory(MemoryDataset(1))


def test_the_inside_of_a_cached_dataset_is_reached():
    """Its dataset is sent to other processes in its place, since Kedro marks the cache as for one process only."""
    dataset = MemoryDataset(1)
    cached = CachedDataset(dataset)

    assert is_cached(cached)
    assert inner_dataset(cached) is dataset


def test_a_cached_dataset_forgets_its_cache_and_nothing_else():
    """Else the driver would load what an earlier run saved."""
    dataset = MemoryDataset("old")
    cached = CachedDataset(dataset)
    cached.load()
    dataset.save("new")

    before = cached.load()
    release_cache(cached)

    assert (before, cached.load()) == ("old", "new")


def test_the_path_of_a_dataset_of_files_is_read():
    """Else a cluster would not be checked for files that only the driver's machine has."""
    kind = pytest.importorskip("kedro_datasets.json").JSONDataset

    assert local_path(kind(filepath="/data/a.json")) == "/data/a.json"
    assert local_path(kind(filepath="memory://a.json")) is None


def test_a_file_that_is_missing_is_seen(tmp_path):
    """Else a run would fail where it loads the file, after its slow nodes."""
    datasets = pytest.importorskip("kedro_datasets.json"), pytest.importorskip("kedro_datasets.partitions")
    make, partitions = datasets[0].JSONDataset, datasets[1].PartitionedDataset
    path = tmp_path / "a.json"

    assert missing_file(make(filepath=str(path))) == str(path)
    assert missing_file(CachedDataset(make(filepath=str(path)))) == str(path)
    assert missing_file(make(filepath=str(path), version=Version(None, None))) == str(path)
    path.mkdir()
    assert missing_file(make(filepath=str(path), version=Version(None, None))) is None
    assert missing_file(make(filepath=str(path))) is None

    assert missing_file(make(filepath="memory://a.json")) is None
    assert missing_file(make(filepath=str(tmp_path / "*.json"))) is None
    assert missing_file(partitions(path=str(tmp_path / "none"), dataset="json.JSONDataset")) is None
    assert missing_file(MemoryDataset()) is None


def test_a_part_of_a_catalog_validates_as_the_whole_does():
    """Else workers would save data that the driver's catalog refuses."""
    whole = DataCatalog(datasets={"a": MemoryDataset(1), "b": MemoryDataset(2)})
    if not hasattr(whole, "validator_specs"):
        pytest.skip("this Kedro's catalogs validate nothing: from 1.7 on they do")
    vars(whole)["_validator_specs"].update(a="positive", b="positive")

    part = catalog_like(whole, {"a": whole["a"]}, default=OwnCatalog)

    assert type(part) is DataCatalog
    assert validators_of(part) == {"a": "positive"}


class FloodError(errors.DatasetError):
    """An error of a user's dataset, with arguments of its own."""

    def __init__(self, river, *, metres):
        super().__init__(river)
        self.metres = metres

    def __reduce__(self):
        return partial(FloodError, metres=self.metres), self.args


@pytest.mark.parametrize(
    ("error", "kedros"),
    [
        (errors.DatasetError("gone"), DatasetError),
        (errors.DatasetNotFoundError("gone"), DatasetNotFoundError),
        (errors.DatasetAlreadyExistsError("there"), DatasetAlreadyExistsError),
        (FloodError("Elbe", metres=9), DatasetError),
    ],
)
@pytest.mark.parametrize("through", [pickle, cloudpickle])
def test_errors_of_datasets_are_errors_of_kedro_also_after_pickling(error, kedros, through):
    arrived = through.loads(through.dumps(error))

    assert isinstance(error, kedros)
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))
    assert repr(error).startswith(f"{type(error).__name__}(")


def test_an_error_from_here_arrives_where_kedro_is_not_imported(tmp_path):
    (tmp_path / "error").write_bytes(pickle.dumps(errors.DatasetNotFoundError("gone")))
    there = "import pickle, sys; error = pickle.load(open('error', 'rb')); print(type(error), 'kedro' in sys.modules)"

    printed = subprocess.run(
        [sys.executable, "-c", there], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout

    assert printed == "<class 'penstock.errors.DatasetNotFoundError'> False\n"


def test_an_error_of_a_dataset_gets_the_name_once():
    with pytest.raises(PenstockError) as named:
        raise_with_dataset_name(DatasetError("gone"), "a")
    with pytest.raises(PenstockError) as again:
        raise_with_dataset_name(named.value, "a")

    assert str(named.value) == "a: gone"
    assert again.value is named.value


def test_objects_of_kedro_are_taken_where_their_types_say_so():
    """The same file passes the strict modes of type checkers: so what is typed is true."""
    script = Path(__file__).parents[1] / "typing" / "kedro_objects.py"

    done = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


class Typed(BaseModel):
    """Kedro 1.7 makes such objects of the parameters of nodes that annotate them."""

    alpha: float = 1.0
    tree: dict[str, int] = {"depth": 3}


@dataclass
class Plain:
    kind: ClassVar[str] = "plain"
    inner: Typed = field(default_factory=Typed)


@pytest.mark.newest
@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")  # Kedro does
@pytest.mark.parametrize(
    "given",
    [
        {"model": {"alpha": 1, "tree": {"depth": 3}}, "share": 0.5},
        {"empty": {}, "none": None, "list": [{"a": 1}], "class": Plain},
        {1: {2: {3: 4}}, "a.b": {"c": 1}},
        {"typed": Typed(), "plain": Plain()},
    ],
)
def test_parameters_are_those_of_a_project_of_kedro(given):
    """A session fills the catalog with what this method returns."""
    kedros = KedroContext._get_parameters(SimpleNamespace(params=given))

    assert list(penstock.parameters(given).items()) == list(kedros.items())


@pytest.mark.parametrize("mode", ["w", "a"])
def test_a_file_that_a_dataset_opens_to_append_is_recognised(tmp_path, mode):
    """Else a generator's chunks would be said to be replaced, or not."""
    kind = pytest.importorskip("kedro_datasets.text").TextDataset
    dataset = kind(filepath=str(tmp_path / "file"), fs_args={"open_args_save": {"mode": mode}})
    dataset.save("a")
    dataset.save("b")

    assert is_kedros_file(dataset)
    assert appends(dataset) == (dataset.load() == "ab") == (mode == "a")


@pytest.mark.parametrize("opening", [{}, {"open_args_save": {"mode": "a"}}])
@pytest.mark.parametrize("mode", ["w", "a"])
def test_a_table_appends_if_its_file_is_opened_so(tmp_path, opening, mode):
    pandas = pytest.importorskip("pandas")
    kind = pytest.importorskip("kedro_datasets.pandas").CSVDataset
    arguments = {"header": False, "index": False, "mode": mode}
    dataset = kind(filepath=str(tmp_path / "file"), save_args=arguments, fs_args=opening)
    dataset.save(pandas.DataFrame({"a": [1]}))
    dataset.save(pandas.DataFrame({"a": [2]}))

    assert appends(dataset) == ((tmp_path / "file").read_text() == "1\n2\n")


@pytest.mark.parametrize("overwrite", [False, True])
def test_partitions_are_added(tmp_path, overwrite):
    partitions = pytest.importorskip("kedro_datasets.partitions")
    kind = partitions.PartitionedDataset
    dataset = kind(path=str(tmp_path / "all"), dataset="kedro_datasets.json.JSONDataset", overwrite=overwrite)
    dataset.save({"a": 1})
    dataset.save({"b": 2})

    assert appends(dataset) == (len(dataset.load()) == 2)


def test_a_catalog_of_kedro_saves_chunks_to_our_files(tmp_path):
    """Also through a cache, which then must not give the last chunk."""
    catalog = DataCatalog(
        {"text": TextDataset(tmp_path / "a"), "cached": OwnCached(TextDataset(tmp_path / "b"))}
    )

    def stream():
        yield from (("a", "b"), ("c", "d"))

    nodes = [
        node(stream, None, ["text", "cached"], name="stream"),
        node(str.upper, "cached", "seen", name="read"),
    ]

    result = SequentialRunner().run(pipeline(nodes), catalog)

    assert (catalog.load("text"), catalog.load("cached"), result["seen"].load()) == ("ac", "bd", "BD")
