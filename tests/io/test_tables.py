import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.io import CSVDataset, DatasetError, ParquetDataset

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "é", "z"]})

COLUMNS = st.dictionaries(
    st.sampled_from("abc"),
    st.lists(st.integers(-(2**53), 2**53), min_size=3, max_size=3)
    | st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
    min_size=1,
)


@pytest.mark.parametrize("kind", [CSVDataset, ParquetDataset])
@given(columns=COLUMNS)
def test_numbers_are_loaded_as_they_were_saved(tmp_path_factory, kind, columns):
    """From Parquet to the last bit."""
    dataset = kind(tmp_path_factory.getbasetemp() / kind.__name__)
    frame = pd.DataFrame(columns)

    dataset.save(frame)

    pd.testing.assert_frame_equal(dataset.load(), frame, check_exact=kind is ParquetDataset)


def test_a_csv_has_no_index_unless_asked_for(tmp_path):
    CSVDataset(tmp_path / "without").save(FRAME)
    CSVDataset(tmp_path / "with", save_args={"index": True}).save(FRAME)

    assert (tmp_path / "without").read_text("utf-8").splitlines()[0] == "a,b"
    assert (tmp_path / "with").read_text("utf-8").splitlines()[0] == ",a,b"


def test_arguments_reach_pandas(tmp_path):
    dataset = CSVDataset(
        tmp_path / "file", save_args={"sep": ";"}, load_args={"sep": ";", "usecols": ["b"], "nrows": 2}
    )

    dataset.save(FRAME)

    assert dataset.load()["b"].tolist() == ["x", "é"]


@pytest.mark.parametrize(
    "options",
    [
        {"load_args": {"encoding": "latin-1"}, "save_args": {"encoding": "latin-1"}},
        {"fs_args": {"open_args_load": {"encoding": "latin-1"}, "open_args_save": {"encoding": "latin-1"}}},
    ],
    ids=["own arguments", "arguments of open"],
)
def test_a_csv_has_the_given_encoding(tmp_path, options):
    dataset = CSVDataset(tmp_path / "file", **options)

    dataset.save(FRAME)

    assert b"\xe9" in (tmp_path / "file").read_bytes()
    assert dataset.load().equals(FRAME)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_a_csv_is_compressed_by_its_suffix(tmp_path, suffix):
    path = tmp_path / f"file.csv{suffix}"

    CSVDataset(path).save(FRAME)

    assert pd.read_csv(path).equals(FRAME)
    assert CSVDataset(path).load().equals(FRAME)
    assert CSVDataset(path, load_args={"compression": "infer"}).load().equals(FRAME)


def test_a_csv_that_the_file_system_compresses_is_not_compressed_twice(tmp_path):
    path, opening = tmp_path / "file.csv.gz", {"compression": "gzip"}
    dataset = CSVDataset(path, fs_args={"open_args_load": opening, "open_args_save": opening})

    dataset.save(FRAME)

    assert pd.read_csv(path).equals(FRAME)
    assert dataset.load().equals(FRAME)


def test_a_given_compression_has_precedence_over_the_suffix(tmp_path):
    path = tmp_path / "file.gz"

    CSVDataset(path, save_args={"compression": None}).save(FRAME)

    assert path.read_text("utf-8").startswith("a,b")


@pytest.mark.parametrize("where", ["local", "memory"])
@pytest.mark.parametrize("chunks", [{"chunksize": 1}, {"iterator": True, "chunksize": 1}], ids=str)
def test_a_csv_can_be_read_in_chunks(tmp_path, where, chunks):
    dataset = CSVDataset({"local": tmp_path / "file", "memory": "memory://pieces"}[where], load_args=chunks)
    dataset.save(FRAME)

    pieces = list(dataset.load())

    assert len(pieces) == 3
    assert pd.concat(pieces).equals(FRAME)


def test_a_series_can_be_saved_as_csv(tmp_path):
    CSVDataset(tmp_path / "file").save(pd.Series([1, 2], name="a"))

    assert CSVDataset(tmp_path / "file").load()["a"].tolist() == [1, 2]


def test_appending_to_a_csv_is_refused(tmp_path):
    """Part of a file is never saved: appending would leave half a file when the process is killed."""
    with pytest.raises(DatasetError, match=r"mode .* is not supported: a save replaces the whole file"):
        CSVDataset(tmp_path / "file", save_args={"mode": "a"}).save(FRAME)

    assert not (tmp_path / "file").exists()


def test_parquet_keeps_types_that_a_csv_loses(tmp_path):
    frame = pd.DataFrame({"when": pd.to_datetime(["2026-01-01"]), "small": np.array([1], dtype="int8")})

    ParquetDataset(tmp_path / "file").save(frame)

    assert ParquetDataset(tmp_path / "file").load().dtypes.equals(frame.dtypes)


def test_parquet_takes_the_arguments_of_pandas(tmp_path):
    dataset = ParquetDataset(
        tmp_path / "file", save_args={"compression": "gzip"}, load_args={"columns": ["a"]}
    )

    dataset.save(FRAME)

    assert list(dataset.load()) == ["a"]


@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_folder_of_parquet_files_is_one_table(tmp_path, where):
    folder = {"local": str(tmp_path), "memory": "memory://folder"}[where]
    for part in ("1.parquet", "2.parquet"):
        ParquetDataset(f"{folder}/{part}").save(FRAME)

    assert len(ParquetDataset(folder).load()) == 6


def test_a_table_is_not_saved_into_many_files(tmp_path):
    with pytest.raises(DatasetError, match="partition_cols is not supported"):
        ParquetDataset(tmp_path / "file", save_args={"partition_cols": ["a"]}).save(FRAME)


@pytest.mark.parametrize("kind", [CSVDataset, ParquetDataset])
def test_other_types_than_tables_are_refused_by_name(tmp_path, kind):
    with pytest.raises(DatasetError, match=r"DataFrame.*list"):
        kind(tmp_path / "file").save([1])


@pytest.mark.parametrize("kind", [CSVDataset, ParquetDataset])
@pytest.mark.parametrize("use", [lambda d: d.load(), lambda d: d.save([1])], ids=["load", "save"])
def test_without_pandas_the_error_says_how_to_install_it(tmp_path, monkeypatch, kind, use):
    (tmp_path / "file").touch()
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(DatasetError, match=r"pip install pandas pyarrow"):
        use(kind(tmp_path / "file"))


def test_a_missing_dependency_of_pandas_is_reported_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "pandas.py").write_text("import what_pandas_needs")
    monkeypatch.delitem(sys.modules, "pandas")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(DatasetError, match="what_pandas_needs") as caught:
        CSVDataset(tmp_path / "file").load()

    assert "pip install" not in str(caught.value)


def test_a_csv_uses_the_text_options_of_open(tmp_path):
    (tmp_path / "file").write_bytes(b"a\ncaf\xe9\n")
    opening = {"open_args_load": {"errors": "replace", "newline": ""}, "open_args_save": {"newline": "\r\n"}}
    dataset = CSVDataset(tmp_path / "file", fs_args=opening)

    loaded = dataset.load()
    dataset.save(loaded)

    assert list(loaded["a"]) == ["caf\ufffd"]
    assert (tmp_path / "file").read_bytes() == "a\r\ncaf\ufffd\r\n".encode()


def test_a_csv_replaces_unknown_characters_if_its_options_say_so(tmp_path):
    opening = {"open_args_save": {"encoding": "ascii", "errors": "replace"}}

    CSVDataset(tmp_path / "file", fs_args=opening).save(pd.DataFrame({"a": ["é"]}))

    assert (tmp_path / "file").read_bytes() == b"a\n?\n"


def test_a_csv_is_compressed_by_a_suffix_of_any_case(tmp_path):
    dataset = CSVDataset(tmp_path / "FILE.CSV.GZ")

    dataset.save(FRAME)

    assert (tmp_path / "FILE.CSV.GZ").read_bytes()[:2] == b"\x1f\x8b"
    pd.testing.assert_frame_equal(dataset.load(), FRAME)


def test_a_csv_in_an_archive_is_not_compressed_again(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("table.csv", "a\n1\n")

    loaded = CSVDataset(f"zip://table.csv::{tmp_path / 'archive.zip'}").load()

    assert list(loaded["a"]) == [1]
