"""Datasets for tables in files. They import pandas when they are used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, ClassVar
from zipfile import ZIP_DEFLATED

from penstock.errors import DatasetError
from penstock.io.files import FileDataset

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.io.chunks import OpenChunks

_COMPRESSION_BY_SUFFIX = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zip": "zip", ".zst": "zstd"}

_READ_ARGUMENTS = {"encoding": "encoding", "errors": "encoding_errors"}
_WRITE_ARGUMENTS = {"encoding": "encoding", "errors": "errors", "newline": "lineterminator"}
"""pandas' names for the arguments of `open`. There is none for `newline` when reading: pandas accepts all line ends."""


class CSVDataset(FileDataset):
    """A pandas `DataFrame` as CSV, compressed if the path ends in `.gz`, `.bz2`, `.xz`, `.zip` or `.zst`.

    `load_args` are arguments of `pandas.read_csv`, `save_args` arguments of `DataFrame.to_csv`, where `index=False` is
    the default. With `chunksize` or `iterator` in `load_args`, `load` returns a pandas reader, which reads the file chunk
    by chunk. `FileDataset` has the other arguments. Chunks of a stream have one header, and must have the same columns.

    Example:
        >>> import pandas
        >>> from penstock.io import CSVDataset
        >>> cities = CSVDataset("data/cities.csv.gz", load_args={"dtype": {"zip": str}})
        >>> cities.save(pandas.DataFrame({"name": ["Bern"], "zip": ["03000"]}))
        >>> cities.load()["zip"].tolist()
        ['03000']
    """

    _SAVE_ARGS: ClassVar = {"index": False}
    _JOINS_CHUNKS = True

    def load(self) -> Data:
        """Load the table.

        Returns:
            A `DataFrame`, or a reader of its chunks.

        Raises:
            DatasetError: The file is missing, is not CSV, or pandas is not installed.
        """
        if self._load_args.get("chunksize") or self._load_args.get("iterator"):
            # pandas closes the files that it opens; a file of a file system is closed when the reader is freed.
            return self._read(self._location.url if self._location.is_local else self._location.open())
        return super().load()

    def _read(self, file: IO[bytes] | str) -> Data:
        text = {
            _READ_ARGUMENTS[name]: given for name, given in self._load_text.items() if name in _READ_ARGUMENTS
        }
        arguments = self._arguments({**text, **self._load_args}, self._location.read_options)
        return _pandas(self).read_csv(file, **arguments)

    def _write(self, data: Data, file: IO[bytes]) -> None:
        pandas = _pandas(self)
        if not isinstance(data, (pandas.DataFrame, pandas.Series)):
            raise TypeError(f"a CSVDataset can save only a pandas DataFrame, not a {type(data).__name__}")
        if self._chunks is not None and "columns" not in self._save_args:
            self._chunks.check_columns([(name, "") for name in pandas.DataFrame(data).columns])
        text = {_WRITE_ARGUMENTS[name]: given for name, given in self._save_text.items() if given}
        arguments = self._arguments({**text, **self._save_args}, self._location.write_options)
        data.to_csv(file, **{**arguments, "mode": "wb"})

    def _open_for_chunks(self, stack: ExitStack) -> IO[bytes]:
        # pandas would compress each chunk by itself, and not all formats can be read like that.
        compression = self._arguments(self._save_args.copy(), self._location.write_options)["compression"]
        self._save_args["compression"] = None
        return stack.enter_context(_compressed(super()._open_for_chunks(stack), compression))

    def _continue(self) -> None:
        super()._continue()
        self._save_args["header"] = False

    def _arguments(self, arguments: dict[str, Any], opening: Mapping[str, Any]) -> dict[str, Any]:
        if arguments.get("compression", "infer") == "infer":
            # pandas infers the compression from a path, but it gets an open file, so it is inferred here.
            is_compressed_by_open = "compression" in opening
            # Of the first URL in a chain: `zip://table.csv::archive.zip` is not compressed a second time.
            suffix = PurePosixPath(self.filepath.partition("::")[0]).suffix.lower()
            arguments["compression"] = None if is_compressed_by_open else _COMPRESSION_BY_SUFFIX.get(suffix)
        return arguments


class ParquetDataset(FileDataset):
    """A pandas `DataFrame` as one Parquet file; `load` also reads a folder of Parquet files.

    `load_args` are arguments of `pandas.read_parquet`, `save_args` arguments of `DataFrame.to_parquet` except
    `partition_cols`. `FileDataset` has the other arguments. Chunks of a stream become row groups, and must have the same
    columns of the same types; a `schema` of pyarrow in `save_args` converts them, as it does a single frame.

    Example:
        >>> import pandas, pyarrow
        >>> from penstock.io import ParquetDataset
        >>> cities = ParquetDataset("data/cities.parquet", load_args={"columns": ["name"]})
        >>> cities.save(pandas.DataFrame({"name": ["Bern"], "zip": ["03000"]}))
        >>> cities.load().to_dict("list")
        {'name': ['Bern']}
    """

    _JOINS_CHUNKS = True

    def load(self) -> Data:
        """Load the table.

        Returns:
            A `DataFrame`.

        Raises:
            DatasetError: The file is missing, is not Parquet, or pandas or pyarrow is not installed.
        """
        if not self._location.is_folder():
            return super().load()
        if self._location.is_local:
            return _pandas(self).read_parquet(self._location.url, **self._load_args)
        fs, path = self._location.file_system_and_path()
        return _pandas(self).read_parquet(path, filesystem=fs, **self._load_args)

    def _read(self, file: IO[bytes]) -> Data:
        return _pandas(self).read_parquet(file, **self._load_args)

    def _write(self, data: Data, file: IO[bytes]) -> None:
        if not isinstance(data, _pandas(self).DataFrame):
            raise TypeError(f"a ParquetDataset can save only a pandas DataFrame, not a {type(data).__name__}")
        if self._save_args.get("partition_cols"):
            raise ValueError("partition_cols is not supported: a save replaces one whole file")
        if self._chunks is None:
            data.to_parquet(file, **self._save_args)
        else:
            self._write_row_group(data, file, self._chunks)

    def _write_row_group(self, data: Data, file: IO[bytes], chunks: OpenChunks) -> None:
        arguments = self._save_args.copy()
        if (engine := arguments.pop("engine", "auto")) not in {"auto", "pyarrow"}:
            raise ValueError(f"engine {engine!r} cannot write chunks: leave it out, for pyarrow")
        rows = arguments.pop("row_group_size", None)
        schema, index = arguments.pop("schema", None), arguments.pop("index", None)
        table = self._arrow_table(data, chunks, schema=schema, index=index)
        chunks.check_columns([(field.name, str(field.type)) for field in table.schema])
        if chunks.writer is None:
            parquet = importlib.import_module("pyarrow.parquet")
            chunks.writer = chunks.stack.enter_context(parquet.ParquetWriter(file, table.schema, **arguments))
        chunks.writer.write_table(table, rows)

    @staticmethod
    def _arrow_table(data: Data, chunks: OpenChunks, *, schema: Any, index: bool | None) -> Any:
        pyarrow = importlib.import_module("pyarrow")
        first = chunks.writer and chunks.writer.schema
        if index is None and first:
            # A range is kept in the description of the file if the first chunk has one, and else as a column.
            index = any(name.startswith("__index_level_") for name in first.names) or None
        try:
            table = pyarrow.Table.from_pandas(data, schema=schema, preserve_index=index)
        except (pyarrow.ArrowException, KeyError) as error:
            raise ValueError(f"chunk {chunks.count + 1}: {error}") from error
        for position, field in enumerate(table.schema):
            if first and pyarrow.types.is_null(field.type) and field.name in first.names:
                # A column without any value has no type of its own.
                known = first.field(field.name)
                table = table.set_column(position, known, pyarrow.nulls(len(table), known.type))
        return table


def _compressed(file: IO[bytes], compression: str | Mapping[str, Any] | None) -> AbstractContextManager[Any]:
    """A file that compresses what is written to it, as `compression` of `DataFrame.to_csv` says."""
    options = dict(compression) if isinstance(compression, Mapping) else {}
    method = options.pop("method", None) if options else compression
    if method is None:
        return nullcontext(file)
    compressors = importlib.import_module("fsspec.compression").compr
    if method not in compressors:
        raise ValueError(
            f"compression {method!r} cannot be written in chunks: use one of gzip, bz2, xz, zip, zstd"
        )
    if method == "zip":
        archived = options.pop("archive_name", None)
        options = {"compression": ZIP_DEFLATED, "filename": archived, **options}
    opened: AbstractContextManager[Any] = compressors[method](file, mode="wb", **options)
    return opened


def _pandas(dataset: FileDataset) -> Any:
    try:
        return importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise DatasetError(
            f"{type(dataset).__name__} needs pandas, which is not installed: pip install pandas pyarrow"
        ) from None
