"""Datasets in files, on this machine or wherever fsspec reaches. A save replaces the file whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
from abc import abstractmethod
from collections.abc import Mapping
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, Any, ClassVar

import cloudpickle

from penstock.io.dataset import AbstractDataset
from penstock.io.location import locate
from penstock.io.redaction import HIDDEN, secret_options, secrets_of, without_secret_options

if TYPE_CHECKING:
    from penstock._typing import Data

_TEXT_OPTIONS = frozenset({"encoding", "errors", "newline"})


class FileDataset(AbstractDataset):
    """One file in one format; a subclass says how the format is read and written.

    It gives `_read(file)` and `_write(data, file)`, which find their options in `self._load_args` and `self._save_args`.
    The file is open in binary, whole when it is read, and nobody sees it before `_write` has returned.

    Args:
        filepath: A path (`~` is the home, a relative path starts at the current folder), or any URL of fsspec.
            Folders on the way are made.
        load_args: Arguments of the function that reads the format.
        save_args: Arguments of the function that writes it, over the class's own.
        credentials: Arguments of the file system that nobody may see.
        fs_args: Further arguments of the file system. `open_args_load` and `open_args_save` among them are mappings of
            their own: `encoding`, `errors` and `newline` of a text, and arguments of the file system's `open`.
        metadata: Anything; kept for the user's own tools.

    Attributes:
        filepath: What was given, as text. It may hold credentials; `repr` hides them.

    Raises:
        DatasetError: `fs_args` asks for appending.
    """

    _SAVE_ARGS: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        *,
        load_args: Mapping[str, Any] | None = None,
        save_args: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> None:
        self.filepath = os.fspath(filepath)
        self.metadata = metadata
        self._load_args = dict(load_args or {})
        self._save_args = {**self._SAVE_ARGS, **(save_args or {})}
        self._credentials = dict(credentials or {})
        self._fs_args = dict(fs_args or {})
        opening = [dict(self._fs_args.pop(f"open_args_{work}", None) or {}) for work in ("load", "save")]
        self._load_text, self._save_text = (
            {name: args.pop(name) for name in _TEXT_OPTIONS & args.keys()} for args in opening
        )
        self._location = locate(
            filepath,
            {**self._fs_args, **self._credentials},
            read_options=opening[0],
            write_options=opening[1],
        )
        if "memory://" in self.filepath:
            # Each process has a memory of its own: what one saves there, no other one finds.
            self._SINGLE_PROCESS = True

    def load(self) -> Data:
        """What is in the file.

        Raises:
            DatasetError: it is not there, or not what the format says.
        """
        with self._location.read() as file:
            return self._read(file)

    def save(self, data: Data) -> None:
        """Replace the file: whoever looks sees the old one or the new one, never half.

        Raises:
            DatasetError: the data does not fit the format, or cannot be written; the old file is as it was.
        """
        with self._location.replace() as file:
            self._write(data, file)

    @abstractmethod
    def _read(self, file: IO[bytes]) -> Data: ...

    @abstractmethod
    def _write(self, data: Data, file: IO[bytes]) -> None: ...

    def _exists(self) -> bool:
        return self._location.exists()

    def _release(self) -> None:
        self._location.forget()

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self.filepath,
            "load_args": without_secret_options(self._load_args) or None,
            "save_args": without_secret_options(self._save_args) or None,
        }

    def _hide(self, text: str) -> str:
        text = super()._hide(text)
        for secret in secrets_of(self.filepath, self._credentials, secret_options(self._fs_args)):
            text = text.replace(secret, HIDDEN)
        return text


class TextDataset(FileDataset):
    """A `str` in a file, UTF-8 unless told otherwise.

    `load_args` and `save_args` are `encoding`, `errors` and `newline`, as in `open`.
    """

    def _read(self, file: IO[bytes]) -> str:
        with TextIOWrapper(file, **{"encoding": "utf-8", **self._load_text, **self._load_args}) as text:
            return text.read()

    def _write(self, data: Data, file: IO[bytes]) -> None:
        if not isinstance(data, str):
            raise TypeError(f"a TextDataset saves a str; got a {type(data).__name__}")
        text = TextIOWrapper(file, **{"encoding": "utf-8", **self._save_text, **self._save_args})
        text.write(data)
        # Not closed: the file below is closed by whoever opened it.
        text.detach()


class JSONDataset(FileDataset):
    """What JSON can say, indented by two. `load_args` are those of `json.loads`, `save_args` those of `json.dumps`."""

    _SAVE_ARGS: ClassVar = {"indent": 2}

    def _read(self, file: IO[bytes]) -> Data:
        content = file.read()
        if not self._load_text:
            # json finds out which of the encodings of Unicode it is.
            return json.loads(content, **self._load_args)
        return json.loads(content.decode(*_encoding(self._load_text)), **self._load_args)

    def _write(self, data: Data, file: IO[bytes]) -> None:
        text = json.dumps(data, **self._save_args)
        newline = self._save_text.get("newline") or "\n"
        file.write(text.replace("\n", newline).encode(*_encoding(self._save_text)))


def _encoding(given: Mapping[str, Any]) -> tuple[str, str]:
    return given.get("encoding") or "utf-8", given.get("errors") or "strict"


class PickleDataset(FileDataset):
    """Any Python object, lambdas and classes of the main module included. Load only files that you trust.

    `load_args` are those of `pickle.load`, `save_args` those of `cloudpickle.dump`.
    """

    def _read(self, file: IO[bytes]) -> Data:
        return pickle.load(file, **self._load_args)

    def _write(self, data: Data, file: IO[bytes]) -> None:
        cloudpickle.dump(data, file, **self._save_args)
