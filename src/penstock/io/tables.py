"""Datasets for tables in files. They import pandas when they are used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, ClassVar

from penstock.errors import DatasetError
from penstock.io.files import FileDataset

if TYPE_CHECKING:
    from penstock._typing import Data

_COMPRESSION_BY_SUFFIX = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zip": "zip", ".zst": "zstd"}

_READ_ARGUMENTS = {"encoding": "encoding", "errors": "encoding_errors"}
_WRITE_ARGUMENTS = {"encoding": "encoding", "errors": "errors", "newline": "lineterminator"}
"""pandas' names for the arguments of `open`. There is none for `newline` when reading: pandas accepts all line ends."""


class CSVDataset(FileDataset):
    """A pandas `DataFrame` as CSV, compressed if the path ends in `.gz`, `.bz2`, `.xz`, `.zip` or `.zst`.

    `load_args` are arguments of `pandas.read_csv`, `save_args` arguments of `DataFrame.to_csv`, where `index=False` is
    the default. With `chunksize` or `iterator` in `load_args`, `load` returns a pandas reader, which reads the file chunk
    by chunk. `FileDataset` has the other arguments.

    Example:
        >>> import pandas
        >>> from penstock.io import CSVDataset
        >>> cities = CSVDataset("data/cities.csv.gz", load_args={"dtype": {"zip": str}})
        >>> cities.save(pandas.DataFrame({"name": ["Bern"], "zip": ["03000"]}))
        >>> cities.load()["zip"].tolist()
        ['03000']
    """

    _SAVE_ARGS: ClassVar = {"index": False}

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
        if "w" not in self._save_args.get("mode", "w"):
            mode = self._save_args["mode"]
            raise ValueError(f"mode {mode!r} is not supported: a save replaces the whole file")
        text = {_WRITE_ARGUMENTS[name]: given for name, given in self._save_text.items() if given}
        arguments = self._arguments({**text, **self._save_args}, self._location.write_options)
        data.to_csv(file, **{**arguments, "mode": "wb"})

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
    `partition_cols`. `FileDataset` has the other arguments.

    Example:
        >>> import pandas, pyarrow
        >>> from penstock.io import ParquetDataset
        >>> cities = ParquetDataset("data/cities.parquet", load_args={"columns": ["name"]})
        >>> cities.save(pandas.DataFrame({"name": ["Bern"], "zip": ["03000"]}))
        >>> cities.load().to_dict("list")
        {'name': ['Bern']}
    """

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
        data.to_parquet(file, **self._save_args)


def _pandas(dataset: FileDataset) -> Any:
    try:
        return importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise DatasetError(
            f"{type(dataset).__name__} needs pandas, which is not installed: pip install pandas pyarrow"
        ) from None
