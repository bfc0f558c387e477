import json
import pickle
import re
import threading
from pathlib import Path

import cloudpickle
import fsspec
import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from penstock.io import CSVDataset, DatasetError, JSONDataset, ParquetDataset, PickleDataset, TextDataset
from penstock.io.files import FileDataset

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "é"]})
VALUE_BY_CLASS = {
    CSVDataset: FRAME,
    ParquetDataset: FRAME,
    JSONDataset: {"a": [1, None, "é"]},
    PickleDataset: {"a": (1, {2})},
    TextDataset: "first\nsecond é\n",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.fixture(params=VALUE_BY_CLASS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


@pytest.fixture(params=["local", "file", "memory", "simplecache"])
def url(request, tmp_path):
    """Where a file can be; nothing is there yet."""
    fsspec.filesystem("memory").store.clear()
    return {
        "local": str(tmp_path / "deep" / "down" / "file"),
        "file": f"file://{tmp_path}/deep/down/file",
        "memory": "memory://deep/down/file",
        "simplecache": f"simplecache::memory://{tmp_path}/cached",
    }[request.param]


def same(left, right):
    return left.equals(right) if isinstance(left, pd.DataFrame) else left == right


class TestAnyFileDataset:
    def test_saved_data_is_loaded(self, kind, url):
        dataset, value = kind(url), VALUE_BY_CLASS[kind]

        dataset.save(value)

        assert same(dataset.load(), value)

    def test_the_second_save_replaces_the_first(self, kind, url):
        dataset, value = kind(url), VALUE_BY_CLASS[kind]
        dataset.save(value[:1] if kind in {CSVDataset, ParquetDataset} else value)
        dataset.load()

        dataset.save(value)

        assert same(dataset.load(), value)

    def test_it_exists_after_a_save(self, kind, url):
        dataset = kind(url)
        before = dataset.exists()

        dataset.save(VALUE_BY_CLASS[kind])

        assert (before, dataset.exists()) == (False, True)

    def test_a_missing_file_is_a_dataset_error_with_its_name(self, kind, url):
        with pytest.raises(DatasetError, match=re.escape(url)):
            kind(url).load()

    def test_data_that_does_not_fit_leaves_the_old_file(self, kind, url):
        dataset, value = kind(url), VALUE_BY_CLASS[kind]
        dataset.save(value)

        with pytest.raises(DatasetError):
            dataset.save(threading.Lock())

        assert same(dataset.load(), value)

    def test_it_can_be_pickled(self, kind, url):
        dataset, value = kind(url), VALUE_BY_CLASS[kind]
        dataset.save(value)

        for arrived in (pickle.loads(pickle.dumps(dataset)), pickle.loads(cloudpickle.dumps(dataset))):
            assert same(arrived.load(), value)

    def test_it_can_be_released_at_any_time(self, kind, url):
        dataset, value = kind(url), VALUE_BY_CLASS[kind]
        dataset.release()
        dataset.save(value)

        dataset.release()

        assert same(dataset.load(), value)

    def test_it_takes_a_path_object(self, kind, tmp_path):
        dataset, value = kind(tmp_path / "file"), VALUE_BY_CLASS[kind]

        dataset.save(value)

        assert (tmp_path / "file").is_file()
        assert same(dataset.load(), value)

    def test_all_arguments_but_the_path_are_keywords(self, kind):
        with pytest.raises(TypeError):
            kind("file", {})

        assert (
            kind(
                filepath="file", load_args=None, save_args=None, credentials=None, fs_args=None, metadata=1
            ).metadata
            == 1
        )

    def test_the_home_folder_is_found(self, kind, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))

        kind("~/file").save(VALUE_BY_CLASS[kind])

        assert (tmp_path / "file").is_file()

    def test_a_relative_path_does_not_follow_the_current_folder(self, kind, tmp_path, monkeypatch):
        """A worker may have another current folder than the driver that made the dataset."""
        monkeypatch.chdir(tmp_path)
        dataset = kind("folder/file")
        (tmp_path / "elsewhere").mkdir()

        monkeypatch.chdir("elsewhere")
        dataset.save(VALUE_BY_CLASS[kind])

        assert (tmp_path / "folder" / "file").is_file()
        assert "'folder/file'" in repr(dataset)

    def test_repr_shows_the_path_and_never_a_credential(self, kind):
        dataset = kind(
            "s3://user1:se/cret1@bucket/file?sig=secret2",
            credentials={"key": "secret3", "client_kwargs": {"aws_secret_access_key": "secret4"}},
            fs_args={"token": "secret5"},
            load_args={"storage_options": {"secret": "secret6"}},
            save_args={"password": "secret7"},
        )

        assert "bucket/file" in repr(dataset)
        assert not re.search(r"user1|cret\d", repr(dataset))

    def test_an_error_never_shows_a_credential(self, kind, caplog):
        caplog.set_level(0)
        dataset = kind(
            "memory://user1:se/cret1@bucket/file",
            credentials={"secret": "secret3", "list": ["secret4", b"secret5"]},
        )

        with pytest.raises(DatasetError, match="bucket/file") as caught:
            dataset.load()

        logged = [record.getMessage() for record in caplog.records if record.name.startswith("penstock")]
        shown = f"{caught.value}{caught.value.__cause__}{caught.value.__cause__!r}{logged}"
        assert logged
        assert not re.search(r"user1|cret\d", shown)

    def test_it_is_persistent_except_in_the_memory_of_a_process(self, kind):
        assert kind("file")._EPHEMERAL is False
        assert kind("file")._SINGLE_PROCESS is False
        assert kind("memory://file")._SINGLE_PROCESS is True
        assert kind("simplecache::memory://file")._SINGLE_PROCESS is True

    @pytest.mark.parametrize("mode", ["a", "ab", "x", "r+"])
    def test_appending_is_refused_when_the_dataset_is_made(self, kind, mode):
        with pytest.raises(DatasetError, match=r"mode .* is not supported: a save replaces the whole file"):
            kind("file", fs_args={"open_args_save": {"mode": mode}})

    def test_explicit_modes_that_change_nothing_are_accepted(self, kind, tmp_path):
        opening = {"open_args_load": {"mode": "rb"}, "open_args_save": {"mode": "wb"}}
        dataset = kind(tmp_path / "file", fs_args=opening)

        dataset.save(VALUE_BY_CLASS[kind])

        assert same(dataset.load(), VALUE_BY_CLASS[kind])
        assert set(opening) == {"open_args_load", "open_args_save"}, "the user's own mapping is as it was"

    @pytest.mark.parametrize("url", ["local", "file", "memory"], indirect=True)
    @pytest.mark.parametrize("compression", ["gzip", "bz2", "xz", "zip"])
    def test_any_file_can_be_compressed(self, kind, url, compression):
        opening = {"compression": compression}
        dataset, value = (
            kind(url, fs_args={"open_args_load": opening, "open_args_save": opening}),
            VALUE_BY_CLASS[kind],
        )

        dataset.save(value)

        assert same(dataset.load(), value)
        with fsspec.open(url, "rb") as raw:
            assert raw.read(2) in {b"\x1f\x8b", b"BZ", b"\xfd7", b"PK"}


@given(text=st.text())
def test_every_text_is_loaded_as_it_was_saved(tmp_path_factory, text):
    dataset = TextDataset(
        tmp_path_factory.getbasetemp() / "text",
        load_args={"newline": "", "errors": "surrogatepass"},
        save_args={"newline": "", "errors": "surrogatepass"},
    )

    dataset.save(text)

    assert dataset.load() == text


def test_a_text_is_read_as_python_reads_texts(tmp_path):
    """Lines end in a line feed, whatever system wrote them."""
    (tmp_path / "file").write_bytes(b"one\r\ntwo\r\n")

    assert TextDataset(tmp_path / "file").load() == "one\ntwo\n"


@pytest.mark.parametrize(
    "options",
    [
        {"load_args": {"encoding": "utf-16"}, "save_args": {"encoding": "utf-16"}},
        {"fs_args": {"open_args_load": {"encoding": "utf-16"}, "open_args_save": {"encoding": "utf-16"}}},
    ],
    ids=["own arguments", "arguments of open"],
)
def test_a_text_has_the_given_encoding(tmp_path, options):
    dataset = TextDataset(tmp_path / "file", **options)

    dataset.save("é")

    assert (tmp_path / "file").read_text("utf-16") == "é"
    assert dataset.load() == "é"


def test_a_text_that_cannot_be_encoded_leaves_the_old_file(tmp_path):
    dataset = TextDataset(tmp_path / "file", save_args={"encoding": "ascii"})
    dataset.save("old")

    with pytest.raises(DatasetError, match="ascii"):
        dataset.save("x" * 100_000 + "é")

    assert dataset.load() == "old"


@given(value=JSON.filter(lambda value: value is not None))
def test_every_json_value_is_loaded_as_it_was_saved(tmp_path_factory, value):
    dataset = JSONDataset(tmp_path_factory.getbasetemp() / "json")

    dataset.save(value)

    assert dataset.load() == value


def test_json_takes_the_arguments_of_the_standard_library(tmp_path):
    dataset = JSONDataset(
        tmp_path / "file", save_args={"indent": None, "ensure_ascii": False}, load_args={"parse_int": str}
    )

    dataset.save({"é": 1})

    assert (tmp_path / "file").read_text("utf-8") == '{"é": 1}'
    assert dataset.load() == {"é": "1"}


def test_json_is_indented_by_two(tmp_path):
    JSONDataset(tmp_path / "file").save([1])

    assert (tmp_path / "file").read_text() == json.dumps([1], indent=2)


def test_json_has_the_encoding_of_the_open_arguments(tmp_path):
    opening = {"encoding": "latin-1"}
    dataset = JSONDataset(
        tmp_path / "file",
        save_args={"ensure_ascii": False},
        fs_args={"open_args_load": opening, "open_args_save": opening},
    )

    dataset.save("é")

    assert (tmp_path / "file").read_bytes() == b'"\xe9"'
    assert dataset.load() == "é"


def test_a_pickle_may_hold_a_lambda(tmp_path):
    dataset = PickleDataset(tmp_path / "file", save_args={"protocol": 4})

    dataset.save(lambda number: number + 1)

    assert dataset.load()(1) == 2


def test_an_object_that_cannot_be_pickled_leaves_the_old_pickle(url):
    class Breaking:
        def __reduce__(self):
            raise ZeroDivisionError

    dataset = PickleDataset(url)
    dataset.save("old")

    with pytest.raises(DatasetError, match="ZeroDivisionError"):
        dataset.save([b"x" * 10_000_000, Breaking()])

    assert dataset.load() == "old"


def test_exists_sees_changes_by_another_process(tmp_path):
    """fsspec remembers what is in a folder; another one may have written the file since."""

    remembered = {}

    class Remembering(LocalFileSystem):
        protocol = "remembering"

        def exists(self, path, **kwargs):
            return remembered.setdefault(path, Path(path).exists())

        def invalidate_cache(self, path=None):
            remembered.pop(path, None)

    fsspec.register_implementation("remembering", Remembering, clobber=True)
    dataset = TextDataset(f"remembering://{tmp_path}/file")
    before = dataset.exists()

    Path(tmp_path, "file").touch()

    assert (before, dataset.exists()) == (False, True)


def test_a_file_system_that_is_not_installed_is_named():
    with pytest.raises(DatasetError, match=r"file://.*nonsense|nonsense"):
        TextDataset("nonsense://file").load()


def test_a_subclass_defines_a_format_with_two_methods(tmp_path):
    class Shout(FileDataset):
        def _read(self, file):
            return file.read().decode().lower()

        def _write(self, data, file):
            file.write(data.upper().encode())

    dataset = Shout(tmp_path / "file")

    dataset.save("hey")

    assert (tmp_path / "file").read_text() == "HEY"
    assert dataset.load() == "hey"


def test_json_uses_the_text_options_of_open(tmp_path):
    path = tmp_path / "file"
    opening = {
        "open_args_save": {"encoding": "ascii", "errors": "replace", "newline": "\r\n"},
        "open_args_load": {"encoding": "latin-1", "newline": ""},
    }
    dataset = JSONDataset(path, fs_args=opening, save_args={"ensure_ascii": False})

    dataset.save(["é", "a\nb"])

    assert path.read_bytes() == b'[\r\n  "?",\r\n  "a\\nb"\r\n]'.replace(b'",\r\n  "', b'",\r\n  "')
    assert dataset.load() == ["?", "a\nb"]
