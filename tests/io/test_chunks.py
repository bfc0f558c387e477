"""Chunks that are saved to one file, which appears whole when the stream ends."""

import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.io import (
    CSVDataset,
    DatasetError,
    FileDataset,
    JSONDataset,
    ParquetDataset,
    PickleDataset,
    TextDataset,
)

FRAMES = [pd.DataFrame({"a": [1, 2], "b": ["x", "é"]}), pd.DataFrame({"a": [3], "b": ["z"]})]
WHOLE = pd.concat(FRAMES, ignore_index=True)


def save_chunks(dataset, chunks):
    with dataset.open_stream() as stream:
        for chunk in chunks:
            stream.save(chunk)


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return {"local": str(tmp_path), "memory": "memory://chunks"}[request.param]


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.bz2", "csv.xz", "csv.zip"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_csv_of_chunks_has_one_header(folder, suffix, encoding):
    arguments = {"encoding": encoding}
    dataset = CSVDataset(f"{folder}/{encoding}.{suffix}", load_args=arguments, save_args=arguments)

    save_chunks(dataset, FRAMES)

    pd.testing.assert_frame_equal(dataset.load(), WHOLE)
    dataset.save(FRAMES[1])
    pd.testing.assert_frame_equal(dataset.load(), FRAMES[1])


def test_a_csv_of_chunks_has_one_byte_order_mark(tmp_path):
    arguments = {"encoding": "utf-16"}
    dataset = CSVDataset(tmp_path / "file.csv.gz", load_args=arguments, save_args=arguments)

    save_chunks(dataset, FRAMES)

    pd.testing.assert_frame_equal(dataset.load(), WHOLE)


def test_a_csv_of_chunks_is_the_same_file_as_a_csv_of_the_whole(tmp_path):
    save_chunks(CSVDataset(tmp_path / "chunks.csv"), FRAMES)
    CSVDataset(tmp_path / "whole.csv").save(WHOLE)

    assert (tmp_path / "chunks.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_options_of_a_compression_reach_the_compressor(tmp_path):
    options = {"method": "zip", "archive_name": "inside.csv"}
    save_chunks(CSVDataset(tmp_path / "file.zip", save_args={"compression": options}), FRAMES)

    assert pd.read_csv(tmp_path / "file.zip").equals(WHOLE)


def test_a_compression_that_cannot_be_written_in_chunks_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="compression 'tar' cannot be written in chunks"):
        save_chunks(CSVDataset(tmp_path / "file", save_args={"compression": "tar"}), FRAMES)


def test_parquet_chunks_are_row_groups(folder):
    dataset = ParquetDataset(f"{folder}/file.parquet")

    save_chunks(dataset, FRAMES)

    pd.testing.assert_frame_equal(dataset.load(), WHOLE)


def test_arguments_reach_the_writer_of_parquet(tmp_path):
    arguments = {"row_group_size": 1, "compression": "gzip", "engine": "pyarrow", "index": False}
    save_chunks(ParquetDataset(tmp_path / "file", save_args=arguments), FRAMES)

    metadata = pq.ParquetFile(tmp_path / "file").metadata
    assert metadata.num_row_groups == 3
    assert metadata.row_group(2).column(0).compression == "GZIP"


@pytest.mark.parametrize(
    ("chunk", "text"),
    [
        (pd.DataFrame({"a": [0.5], "b": ["z"]}), "column 'a' is double, in chunk 1 it is int64"),
        (pd.DataFrame({"a": [1]}), "column 'b' is missing"),
        (pd.DataFrame({"a": [1], "b": ["z"], "c": [1]}), "column 'c' is new"),
        (pd.DataFrame({"b": ["z"], "a": [1]}), r"the order is \['b', 'a'\], in chunk 1 it is \['a', 'b'\]"),
    ],
    ids=["type", "missing", "new", "order"],
)
@pytest.mark.parametrize("kind", [CSVDataset, ParquetDataset])
def test_a_chunk_with_other_columns_is_named_and_leaves_the_old_file(tmp_path, kind, chunk, text):
    dataset = kind(tmp_path / "file")
    dataset.save(FRAMES[0])
    if kind is CSVDataset and "int64" in text:
        pytest.skip("a CSV has no types")

    with pytest.raises(DatasetError, match=rf"chunk 3 has other columns than chunk 1: {text}"):
        save_chunks(dataset, [*FRAMES, chunk])

    assert dataset.load().equals(FRAMES[0])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_column_of_mixed_types_names_the_chunk(tmp_path):
    with pytest.raises(DatasetError, match=r"chunk 2: .*column b"):
        save_chunks(
            ParquetDataset(tmp_path / "file"),
            [FRAMES[0], pd.DataFrame({"a": [1], "b": [b"x"]}).assign(b=[{1: 2}])],
        )


def test_a_parquet_chunk_without_any_value_in_a_column_fits(tmp_path):
    """Such a column has no type of its own."""
    empty = pd.DataFrame({"a": [9], "b": pd.Series([None], dtype=object)})
    save_chunks(ParquetDataset(tmp_path / "file"), [FRAMES[0], empty])

    assert pq.read_table(tmp_path / "file")["b"].to_pylist() == ["x", "é", None]


def test_a_given_schema_converts_the_chunks(tmp_path):
    schema = pa.schema([("a", pa.float64()), ("b", pa.string())])
    half = pd.DataFrame({"a": [0.5], "b": ["z"]})
    save_chunks(ParquetDataset(tmp_path / "file", save_args={"schema": schema}), [*FRAMES, half])

    assert ParquetDataset(tmp_path / "file").load()["a"].tolist() == [1.0, 2.0, 3.0, 0.5]


def test_an_index_that_the_first_parquet_chunk_has_is_kept(tmp_path):
    frame = pd.DataFrame({"a": range(6)})
    chunks = [frame.loc[pd.Index([0, 2, 3])], frame.iloc[4:6]]
    save_chunks(ParquetDataset(tmp_path / "file"), chunks)

    assert ParquetDataset(tmp_path / "file").load().index.tolist() == [0, 2, 3, 4, 5]


def test_chunks_of_one_range_are_one_range(tmp_path):
    frame = pd.DataFrame({"a": range(6)})
    save_chunks(ParquetDataset(tmp_path / "file"), [frame[:3], frame[3:]])

    assert ParquetDataset(tmp_path / "file").load().equals(frame)


def test_another_engine_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="engine 'fastparquet' cannot write chunks"):
        save_chunks(ParquetDataset(tmp_path / "file", save_args={"engine": "fastparquet"}), FRAMES)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("compression", [None, "bz2"])
def test_texts_follow_one_another(folder, encoding, compression):
    opening = {"encoding": encoding, **({"compression": compression} if compression else {})}
    arguments = {"open_args_load": opening, "open_args_save": opening}
    dataset = TextDataset(f"{folder}/{encoding}{compression}", fs_args=arguments)

    save_chunks(dataset, ["é", "b\n", "c"])

    assert dataset.load() == "éb\nc"


@pytest.mark.parametrize("opening", [{}, {"encoding": "utf-16"}, {"encoding": "latin-1"}])
def test_json_lines_follow_one_another(folder, opening):
    dataset = JSONDataset(
        f"{folder}/{len(str(opening))}.jsonl",
        lines=True,
        save_args={"ensure_ascii": False},
        fs_args={"open_args_load": opening, "open_args_save": opening},
    )

    save_chunks(dataset, [[{"a": "é\n\x85"}, 1], [], [[2, None]]])

    assert dataset.load() == [{"a": "é\n\x85"}, 1, [2, None]]


def test_json_lines_have_an_item_on_each_line(tmp_path):
    dataset = JSONDataset(tmp_path / "file", lines=True)

    dataset.save([{"a": 1}, 2])

    assert (tmp_path / "file").read_text() == '{"a": 1}\n2\n'
    assert "lines=True" in repr(dataset)


def test_json_lines_take_a_list_and_no_indent(tmp_path):
    with pytest.raises(DatasetError, match="can save only a list, not a dict"):
        JSONDataset(tmp_path / "file", lines=True).save({"a": 1})
    with pytest.raises(DatasetError, match="cannot have indent"):
        JSONDataset(tmp_path / "file", lines=True, save_args={"indent": 1})


@pytest.mark.parametrize("kind", [JSONDataset, PickleDataset])
def test_chunks_of_other_formats_cannot_be_joined(tmp_path, kind):
    assert kind(tmp_path / "file").open_stream() is None


def test_a_users_format_can_join_chunks(tmp_path):
    class Bytes(FileDataset):
        _JOINS_CHUNKS = True

        def _read(self, file):
            return file.read()

        def _write(self, data, file):
            file.write(data)

    dataset = Bytes(tmp_path / "file")

    save_chunks(dataset, [b"a", b"b"])

    assert dataset.load() == b"ab"


def test_a_stream_without_chunks_leaves_the_old_file(tmp_path):
    dataset = TextDataset(tmp_path / "file")
    dataset.save("old")

    save_chunks(dataset, [])

    assert dataset.load() == "old"


def test_the_file_appears_when_the_stream_ends(tmp_path):
    dataset = TextDataset(tmp_path / "file")

    with dataset.open_stream() as stream:
        stream.save("a")
        assert not dataset.exists()
        dataset.save("another save")

    assert dataset.load() == "a"


def test_a_file_that_cannot_be_replaced_at_the_end_is_a_dataset_error(tmp_path):
    """The folder appears between the first chunk and the last."""
    dataset = TextDataset(tmp_path / "file")

    def chunks():
        yield "a"
        (tmp_path / "file").mkdir()

    with pytest.raises(DatasetError, match="Cannot save"):
        save_chunks(dataset, chunks())

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_none_is_no_chunk(tmp_path):
    with pytest.raises(DatasetError, match="Cannot save None"):
        save_chunks(TextDataset(tmp_path / "file"), [None])


@pytest.mark.parametrize("kind", [CSVDataset, TextDataset, JSONDataset, ParquetDataset])
@pytest.mark.parametrize("mode", ["a", "ab", "x"])
def test_appending_is_refused_when_the_dataset_is_made(tmp_path, kind, mode):
    """Not when nodes before have run for hours."""
    with pytest.raises(DatasetError, match=rf"mode '{mode}' is not supported: .*yield them"):
        kind(tmp_path / "file", save_args={"mode": mode})


KILLED = """
import os, signal, sys
import pandas
from penstock.io import CSVDataset, ParquetDataset
kind, path = sys.argv[1:]
with {"csv": CSVDataset, "parquet": ParquetDataset}[kind](path).open_stream() as stream:
    for _ in range(3):
        stream.save(pandas.DataFrame({"a": range(100_000)}))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_process_killed_in_the_middle_of_a_stream_leaves_the_old_file(tmp_path, kind):
    path = tmp_path / "file"
    path.write_text("old")

    ended = subprocess.run([sys.executable, "-c", KILLED, kind, str(path)], check=False, timeout=120)

    assert ended.returncode == -9
    assert path.read_text() == "old"


MEASURED = """
import resource, sys
import numpy, pandas, pyarrow.parquet
import penstock
from penstock.pipeline import node, pipeline
kind, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
rows = 1_250_000 if kind != "csv" else 550_000  # 10 MB in the file


def chunk(number):
    if kind in ("csv", "parquet"):
        return pandas.DataFrame({"a": numpy.random.default_rng(number).random(rows)})
    return "x" * 10_000_000 if kind == "text" else ["x" * 1_000_000] * 10


def stream():
    for number in range(count):
        yield chunk(number)


kinds = {"csv": penstock.CSVDataset, "parquet": penstock.ParquetDataset, "text": penstock.TextDataset}
dataset = kinds[kind](path) if kind in kinds else penstock.JSONDataset(path, lines=True)
small = pandas.DataFrame({"a": [1.0]})
dataset.save(small if kind in ("csv", "parquet") else "x" if kind == "text" else [1])
numpy.random.default_rng(0)
penstock.run(pipeline([node(lambda: 1, None, "out")]), penstock.DataCatalog())  # imports what a run needs
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
penstock.run(pipeline([node(stream, None, "out")]), penstock.DataCatalog({"out": dataset}))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize("kind", ["csv", "parquet", "text", "jsonl"])
def test_no_more_than_a_few_chunks_are_in_memory(tmp_path, kind):
    """Of twenty chunks of 10 MB. pyarrow alone needs 60 MB to write one of them."""
    path = tmp_path / "file"

    ended = subprocess.run(
        [sys.executable, "-c", MEASURED, kind, str(path), "20"], check=True, timeout=120, capture_output=True
    )

    assert path.stat().st_size > 180_000_000
    assert float(ended.stdout) < 150
