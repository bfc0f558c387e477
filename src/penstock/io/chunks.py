"""Chunks that follow one another in one file: the state of a file while a stream of chunks is saved to it."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Any

_ENCODING_WITHOUT_MARK = {
    "utf-8-sig": "utf-8",
    "utf-16": f"utf-16-{sys.byteorder[0]}e",
    "utf-32": f"utf-32-{sys.byteorder[0]}e",
}


class OpenChunks:
    """The file that the chunks of one stream are written to. It replaces the old file when the stream ends.

    Args:
        open_file: Opens the new file, when the first chunk comes; the stack closes it.

    Attributes:
        count: How many chunks are written.
        stack: Closes all that was opened. What a format opens on top of the file belongs here, too.
        writer: What a format keeps from chunk to chunk.
    """

    def __init__(self, open_file: Callable[[ExitStack], IO[bytes]]) -> None:
        self.count = 0
        self.stack = ExitStack()
        self.writer: Any = None
        self._open_file = open_file
        self._file: IO[bytes] | None = None
        self._columns: list[tuple[str, str]] | None = None

    @property
    def file(self) -> IO[bytes]:
        """The new file."""
        if self._file is None:
            self._file = self._open_file(self.stack)
        return self._file

    def discard(self, error: BaseException) -> None:
        """Remove the new file."""
        # The caller gets the error that ended the stream, and not what closing the unfinished file raises because of it.
        with suppress(Exception):
            self.stack.__exit__(type(error), error, error.__traceback__)

    def check_columns(self, columns: Sequence[tuple[str, str]]) -> None:
        """Check that a chunk has the same columns as the first one.

        Args:
            columns: The name and the type of each column; the type is empty in a format without types.

        Raises:
            ValueError: Names the chunk, counted from 1, and the columns.
        """
        if self._columns is None:
            self._columns = list(columns)
        elif list(columns) != self._columns:
            problems = _differences(dict(columns), dict(self._columns))
            raise ValueError(
                f"chunk {self.count + 1} has other columns than chunk 1: {'; '.join(problems)}. "
                "Let all chunks have the same columns, of the same types"
            )


def _differences(columns: dict[str, str], first: dict[str, str]) -> list[str]:
    return [
        *(f"column {name!r} is missing" for name in first if name not in columns),
        *(f"column {name!r} is new" for name in columns if name not in first),
        *(
            f"column {name!r} is {kind}, in chunk 1 it is {first[name]}"
            for name, kind in columns.items()
            if first.get(name, kind) != kind
        ),
    ] or [f"the order is {list(columns)}, in chunk 1 it is {list(first)}"]


def encoding_without_mark(encoding: str) -> str:
    """The same encoding without a byte order mark, which only the start of a file has."""
    return _ENCODING_WITHOUT_MARK.get(codecs.lookup(encoding).name, encoding)
