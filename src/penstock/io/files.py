"""Datasets in files: text, JSON, pickles, and the base class for other formats. A save replaces the whole file or nothing."""

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
from penstock.io.redaction import HIDDEN, secret_texts, secret_values, without_secret_options

if TYPE_CHECKING:
    from penstock._typing import Data

_TEXT_OPTIONS = frozenset({"encoding", "errors", "newline"})


class FileDataset(AbstractDataset):
    """One file in one format, on this machine or on any file system of fsspec.

    A subclass defines `_read(file)` and `_write(data, file)`, which use the options in `self._load_args` and
    `self._save_args`. The file is open in binary mode. Readers see the new file only after `_write` has returned.

    Args:
        filepath: A path (`~` is the home folder, a relative path starts at the current folder), or a URL that fsspec
            supports. Missing folders are created.
        load_args: Arguments of the function that reads the format.
        save_args: Arguments of the function that writes the format; they take precedence over the class's defaults.
        credentials: Secret arguments of the file system; `repr`, logs and errors do not show them.
        fs_args: Further arguments of the file system. Two of them are mappings: `open_args_load` and `open_args_save`,
            with `encoding`, `errors` and `newline` of a text, and arguments of the file system's `open`.
        metadata: Anything; kept for the user's own tools.

    Attributes:
        filepath: The path or URL as text. It may contain credentials; `repr` hides them.

    Raises:
        DatasetError: A mode in `fs_args` asks for appending.

    Example:
        >>> from penstock.io import FileDataset
        >>> class NamesDataset(FileDataset):
        ...     def _read(self, file):
        ...         return file.read().decode().split(",")
        ...     def _write(self, data, file):
        ...         file.write(",".join(data).encode())
        >>> names = NamesDataset("data/names.txt")
        >>> names.save(["Ann", "Bob"])
        >>> names.load()
        ['Ann', 'Bob']
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
        opening = [dict(self._fs_args.pop(f"open_args_{each}", None) or {}) for each in ("load", "save")]
        self._load_text, self._save_text = (
            {name: args.pop(name) for name in _TEXT_OPTIONS & args.keys()} for args in opening
        )
        self._location = locate(filepath, {**self._fs_args, **self._credentials}, *opening)
        if "memory://" in self.filepath:
            # Each process has its own memory: other processes do not find what one saves there.
            self._SINGLE_PROCESS = True

    def load(self) -> Data:
        """Read the file.

        Returns:
            Its data.

        Raises:
            DatasetError: The file is missing, or does not have this format.
        """
        with self._location.open() as file:
            return self._read(file)

    def save(self, data: Data) -> None:
        """Replace the file. A reader sees the old file or the new one, never a part.

        Args:
            data: The new data.

        Raises:
            DatasetError: The data does not fit the format, or cannot be written; the old file stays as it was.
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
        self._location.invalidate_cache()

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self.filepath,
            "load_args": without_secret_options(self._load_args) or None,
            "save_args": without_secret_options(self._save_args) or None,
        }

    def _hide(self, text: str) -> str:
        text = super()._hide(text)
        for secret in secret_texts(self.filepath, self._credentials, secret_values(self._fs_args)):
            text = text.replace(secret, HIDDEN)
        return text


class TextDataset(FileDataset):
    """A `str` in a file, in UTF-8 by default.

    `load_args` and `save_args` are `encoding`, `errors` and `newline`, as in `open`. `FileDataset` has the other
    arguments.

    Example:
        >>> from penstock.io import TextDataset
        >>> report = TextDataset("reports/today.txt", save_args={"encoding": "latin-1"}, load_args={"encoding": "latin-1"})
        >>> report.save("Grüezi")
        >>> report.load()
        'Grüezi'
    """

    def _read(self, file: IO[bytes]) -> str:
        with TextIOWrapper(file, **{"encoding": "utf-8", **self._load_text, **self._load_args}) as text:
            return text.read()

    def _write(self, data: Data, file: IO[bytes]) -> None:
        if not isinstance(data, str):
            raise TypeError(f"a TextDataset can save only a str, not a {type(data).__name__}")
        text = TextIOWrapper(file, **{"encoding": "utf-8", **self._save_text, **self._save_args})
        text.write(data)
        # Not closed: the caller closes the binary file.
        text.detach()


class JSONDataset(FileDataset):
    """Dictionaries, lists, texts and numbers as JSON, indented by two spaces by default.

    `load_args` are arguments of `json.loads`, `save_args` arguments of `json.dumps`. `FileDataset` has the other
    arguments.

    Example:
        >>> from penstock.io import JSONDataset
        >>> metrics = JSONDataset("metrics.json", save_args={"sort_keys": True})
        >>> metrics.save({"rmse": 0.5, "mae": 0.25})
        >>> metrics.load()
        {'mae': 0.25, 'rmse': 0.5}
    """

    _SAVE_ARGS: ClassVar = {"indent": 2}

    def _read(self, file: IO[bytes]) -> Data:
        content: Any = file.read()
        if self._load_text:
            # Without an encoding, json detects UTF-8, UTF-16 and UTF-32.
            content = content.decode(*_encoding(self._load_text))
        return json.loads(content, **self._load_args)

    def _write(self, data: Data, file: IO[bytes]) -> None:
        text = json.dumps(data, **self._save_args)
        newline = self._save_text.get("newline") or "\n"
        file.write(text.replace("\n", newline).encode(*_encoding(self._save_text)))


def _encoding(given: Mapping[str, Any]) -> tuple[str, str]:
    return given.get("encoding") or "utf-8", given.get("errors") or "strict"


class PickleDataset(FileDataset):
    """Any Python object, including lambdas and classes of the main module. Load only files that you trust.

    `load_args` are arguments of `pickle.load`, `save_args` arguments of `cloudpickle.dump`. The other arguments are those
    of `FileDataset`.

    Example:
        >>> from penstock.io import PickleDataset
        >>> model = PickleDataset("model.pickle")
        >>> model.save(lambda number: 2 * number)
        >>> model.load()(21)
        42
    """

    def _read(self, file: IO[bytes]) -> Data:
        return pickle.load(file, **self._load_args)

    def _write(self, data: Data, file: IO[bytes]) -> None:
        cloudpickle.dump(data, file, **self._save_args)
