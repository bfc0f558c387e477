"""Tables in files, for which pandas is imported when it is used."""

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
"""What pandas calls the arguments with which texts are opened; it reads whatever line ends there are."""


class CSVDataset(FileDataset):
    """A pandas `DataFrame` as CSV, packed if the path ends in `.gz`, `.bz2`, `.xz`, `.zip` or `.zst`.

    `load_args` are those of `pandas.read_csv`, `save_args` those of `DataFrame.to_csv`, with `index=False`. With
    `chunksize` or `iterator`, a load gives the reader of pandas, which reads as it is consumed.
    """

    _SAVE_ARGS: ClassVar = {"index": False}

    def load(self) -> Data:
        """The table, or a reader of its chunks.

        Raises:
            DatasetError: it is not there, is no CSV, or pandas is missing.
        """
        if self._load_args.get("chunksize") or self._load_args.get("iterator"):
            # pandas closes what it opens itself; a file from a file system is closed when nobody has the reader any more.
            return self._read(self._location.url if self._location.is_local else self._location.opened())
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
            raise TypeError(f"a CSVDataset saves a pandas DataFrame; got a {type(data).__name__}")
        if "w" not in self._save_args.get("mode", "w"):
            raise ValueError(
                f"a save replaces the whole file: mode {self._save_args['mode']!r} cannot be had"
            )
        text = {_WRITE_ARGUMENTS[name]: given for name, given in self._save_text.items() if given}
        arguments = self._arguments({**text, **self._save_args}, self._location.write_options)
        data.to_csv(file, **{**arguments, "mode": "wb"})

    def _arguments(self, arguments: dict[str, Any], opening: Mapping[str, Any]) -> dict[str, Any]:
        if arguments.get("compression", "infer") == "infer":
            # pandas reads it off a path, but is given an open file.
            is_packed_below = "compression" in opening
            # Of the innermost, in a chain: `zip://table.csv::archive.zip` is not packed once more.
            suffix = PurePosixPath(self.filepath.partition("::")[0]).suffix.lower()
            arguments["compression"] = None if is_packed_below else _COMPRESSION_BY_SUFFIX.get(suffix)
        return arguments


class ParquetDataset(FileDataset):
    """A pandas `DataFrame` as one Parquet file; a folder of Parquet files can be loaded, too.

    `load_args` are those of `pandas.read_parquet`, `save_args` those of `DataFrame.to_parquet`, without
    `partition_cols`.
    """

    def load(self) -> Data:
        """The table.

        Raises:
            DatasetError: it is not there, is no Parquet, or pandas or pyarrow is missing.
        """
        if not self._location.is_folder():
            return super().load()
        if self._location.is_local:
            return _pandas(self).read_parquet(self._location.url, **self._load_args)
        fs, path = self._location.resolved()
        return _pandas(self).read_parquet(path, filesystem=fs, **self._load_args)

    def _read(self, file: IO[bytes]) -> Data:
        return _pandas(self).read_parquet(file, **self._load_args)

    def _write(self, data: Data, file: IO[bytes]) -> None:
        if not isinstance(data, _pandas(self).DataFrame):
            raise TypeError(f"a ParquetDataset saves a pandas DataFrame; got a {type(data).__name__}")
        if self._save_args.get("partition_cols"):
            raise ValueError("a save replaces one file whole: partition_cols cannot be had")
        data.to_parquet(file, **self._save_args)


def _pandas(dataset: FileDataset) -> Any:
    try:
        return importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise DatasetError(
            f"{type(dataset).__name__} needs pandas, which is not installed: pip install penstock[pandas]"
        ) from None
