"""Datasets in files: text, JSON, pickles, and the base class for other formats. A save replaces the whole file or nothing.

So does a stream of chunks, in the formats in which chunks can follow one another: see `FileDataset.open_stream`.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, Any, ClassVar

import cloudpickle

from penstock.errors import DatasetError
from penstock.io.chunks import OpenChunks, encoding_without_mark
from penstock.io.dataset import AbstractDataset, with_dataset_errors
from penstock.io.location import locate
from penstock.io.redaction import HIDDEN, secret_texts, secret_values, without_secret_options

if TYPE_CHECKING:
    from penstock._typing import Data

_TEXT_OPTIONS = frozenset({"encoding", "errors", "newline"})


class FileDataset(AbstractDataset):
    """One file in one format, on this machine or on any file system of fsspec.

    A subclass defines `_read(file)` and `_write(data, file)`, which use the options in `self._load_args` and
    `self._save_args`. The file is open in binary mode. Readers see the new file only after `_write` has returned.

    If data that is written after other data makes a file that `_read` can read, the subclass can say so with
    `_JOINS_CHUNKS = True`: what a generator node yields for it then becomes one file.

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
        DatasetError: A mode in `fs_args` or `save_args` asks for appending.

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
    _JOINS_CHUNKS: bool = False
    _chunks: OpenChunks | None = None
    """What the copy that saves a stream writes to."""

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
        _check_mode(self._save_args.get("mode"))
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
        if self._chunks is not None:
            self._save_chunk(data, self._chunks)
            return
        with self._location.replace() as file:
            self._write(data, file)

    def open_stream(self) -> AbstractContextManager[FileDataset] | None:
        """Save data that comes in chunks, to one file that holds them all. A generator node's outputs are saved so.

        Returns:
            A context manager that gives a dataset: each `save` to it adds a chunk. The file is replaced when the block ends;
            when the block raises, or there was no chunk, the old file stays. None if chunks of this format cannot be joined.

        Example:
            >>> from penstock.io import TextDataset
            >>> diary = TextDataset("diary.txt")
            >>> with diary.open_stream() as stream:
            ...     stream.save("Monday. ")
            ...     stream.save("Tuesday.")
            >>> diary.load()
            'Monday. Tuesday.'
        """
        return copy.copy(self)._saving_chunks() if self._JOINS_CHUNKS else None  # noqa: SLF001 - of this class

    @contextmanager
    def _saving_chunks(self) -> Iterator[FileDataset]:
        """This dataset, a copy, whose `save` adds a chunk until the block ends."""
        self._save_args, self._save_text = self._save_args.copy(), self._save_text.copy()
        self._chunks = OpenChunks(self._open_for_chunks)
        try:
            yield self
        except BaseException as error:
            self._chunks.discard(error)
            raise
        self._replace_by_chunks()

    def _open_for_chunks(self, stack: ExitStack) -> IO[bytes]:
        return stack.enter_context(self._location.replace())

    def _save_chunk(self, data: Data, chunks: OpenChunks) -> None:
        self._write(data, chunks.file)
        if not chunks.count:
            self._continue()
        chunks.count += 1

    def _continue(self) -> None:
        """Change the arguments of the copy that saves a stream for the second and later chunks."""
        for options in (self._save_text, self._save_args):
            if options.get("encoding"):
                options["encoding"] = encoding_without_mark(options["encoding"])

    def _replace_by_chunks(self) -> None:
        if self._chunks is not None:
            self._chunks.stack.close()

    _replace_by_chunks = with_dataset_errors("save", _replace_by_chunks)

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


def _check_mode(mode: object) -> None:
    if isinstance(mode, str) and set(mode) <= set("rwaxbt+") and "w" not in mode:
        raise DatasetError(
            f"mode {mode!r} is not supported: a save replaces the whole file. To write a file in chunks, yield them from the "
            "function of a node"
        )


class TextDataset(FileDataset):
    """A `str` in a file, in UTF-8 by default. Chunks of a stream follow one another, with nothing in between.

    `load_args` and `save_args` are `encoding`, `errors` and `newline`, as in `open`. `FileDataset` has the other
    arguments.

    Example:
        >>> from penstock.io import TextDataset
        >>> report = TextDataset("reports/today.txt", save_args={"encoding": "latin-1"}, load_args={"encoding": "latin-1"})
        >>> report.save("Grüezi")
        >>> report.load()
        'Grüezi'
    """

    _JOINS_CHUNKS = True

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

    Args:
        filepath: As in `FileDataset`.
        lines: JSON lines: the data is a list, and each item is a line. Chunks of a stream, lists as well, follow one another.
        arguments: As in `FileDataset`.

    Raises:
        DatasetError: `indent` in `save_args` together with `lines`.

    Example:
        >>> from penstock.io import JSONDataset
        >>> metrics = JSONDataset("metrics.json", save_args={"sort_keys": True})
        >>> metrics.save({"rmse": 0.5, "mae": 0.25})
        >>> metrics.load()
        {'mae': 0.25, 'rmse': 0.5}
        >>> events = JSONDataset("events.jsonl", lines=True)
        >>> events.save([{"event": "start"}, {"event": "end"}])
        >>> events.load()
        [{'event': 'start'}, {'event': 'end'}]
    """

    def __init__(self, filepath: str | os.PathLike[str], *, lines: bool = False, **arguments: Any) -> None:
        super().__init__(filepath, **arguments)
        self._lines = self._JOINS_CHUNKS = lines
        if not lines:
            self._save_args.setdefault("indent", 2)
        elif self._save_args.get("indent") is not None:
            raise DatasetError(
                "save_args of a JSONDataset with lines=True cannot have indent: an item is one line"
            )

    def _read(self, file: IO[bytes]) -> Data:
        content = file.read()
        # Without an encoding, json detects UTF-8, UTF-16 and UTF-32.
        encoding = (
            _encoding(self._load_text)
            if self._load_text
            else (json.detect_encoding(content), "surrogatepass")
        )
        text = content.decode(*encoding)
        if not self._lines:
            return json.loads(text, **self._load_args)
        # Not splitlines: a string in JSON may contain other line ends as they are.
        return [json.loads(line, **self._load_args) for line in text.split("\n") if line.strip()]

    def _write(self, data: Data, file: IO[bytes]) -> None:
        text = self._text(data)
        newline = self._save_text.get("newline") or "\n"
        file.write(text.replace("\n", newline).encode(*_encoding(self._save_text)))

    def _text(self, data: Data) -> str:
        if not self._lines:
            return json.dumps(data, **self._save_args)
        if not isinstance(data, (list, tuple)):
            raise TypeError(
                f"a JSONDataset with lines=True can save only a list, not a {type(data).__name__}"
            )
        return "".join(f"{json.dumps(item, **self._save_args)}\n" for item in data)

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "lines": self._lines or None}


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
