"""Where a file is: a path on this machine, or a URL that fsspec knows."""

from __future__ import annotations

import importlib
import io
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from penstock.errors import DatasetError
from penstock.io.atomic import replaced_file, replaced_object


@dataclass(frozen=True)
class Location:
    """One file, on this machine or on any file system of fsspec.

    It holds nothing open, so it travels to other processes and serves several threads: fsspec keeps one file system
    for equal options.

    Attributes:
        url: An absolute path, or a URL.
        is_local: Whether it is a path.
        options: Arguments of the file system, credentials among them.
        read_options: Arguments of its `open` when reading, `compression` for instance.
        write_options: When writing: `compression`, and arguments of its `pipe_file` and `put_file`.
    """

    url: str
    is_local: bool
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    read_options: Mapping[str, Any] = field(default_factory=dict)
    write_options: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def read(self) -> Iterator[IO[bytes]]:
        """The file, open for reading, until the block ends."""
        with self.opened() as file:
            yield file

    def opened(self) -> IO[bytes]:
        """The file, open for reading; the caller closes it."""
        if self.is_local and not self.read_options:
            return Path(self.url).open("rb")
        fs, path = self.resolved()
        if fs.protocol == "memory" and not self.read_options:
            # Its open() gives all readers one file object with one position.
            return io.BytesIO(fs.cat_file(path))
        file = fs.open(path, "rb", **self.read_options)
        if not fs.cachable:
            # fsspec forgets it, and an archive is closed when nobody has its file system any more.
            weakref.finalize(file, _let_go, fs).atexit = False
        return cast("IO[bytes]", file)

    @contextmanager
    def replace(self) -> Iterator[IO[bytes]]:
        """A file to write to, which takes the place of this one when the block ends and vanishes when it raises."""
        options = dict(self.write_options)
        compression = options.pop("compression", None)
        with self._replaced(options) as file:
            if compression is None:
                yield file
            else:
                with _compressing(file, compression, self.url) as packed:
                    yield packed

    def _replaced(self, options: Mapping[str, Any]) -> AbstractContextManager[IO[bytes]]:
        if self.is_local:
            return replaced_file(Path(self.url))
        fs, path = self.resolved()
        return replaced_object(fs, path, options)

    def exists(self) -> bool:
        """Whether there is a file or a folder, now: what fsspec remembers of it is forgotten first."""
        if self.is_local:
            return Path(self.url).exists()
        self.forget()
        fs, path = self.resolved()
        return bool(fs.exists(path))

    def is_folder(self) -> bool:
        """Whether it is a folder of files."""
        if self.is_local:
            return Path(self.url).is_dir()
        fs, path = self.resolved()
        return bool(fs.isdir(path))

    def forget(self) -> None:
        """Drop what fsspec remembers of the file and its folder."""
        if not self.is_local:
            fs, path = self.resolved()
            fs.invalidate_cache(path)
            fs.invalidate_cache(str(PurePosixPath(path).parent))

    def resolved(self) -> tuple[Any, str]:
        """The file system, and the path on it."""
        # Imported here: fsspec takes 0.1 s, and local files do not need it.
        fs, path = importlib.import_module("fsspec.core").url_to_fs(self.url, **self.options)
        return fs, path


def locate(
    filepath: str | os.PathLike[str],
    options: Mapping[str, Any],
    *,
    read_options: Mapping[str, Any],
    write_options: Mapping[str, Any],
) -> Location:
    """The location that a user means.

    Args:
        filepath: A URL of fsspec, chained ones included, or a local path, for which `file://` may stand. `~` is the
            user's home. A relative path is taken from the current folder, now: other processes may have other ones.
        options: As in `Location`.
        read_options: As in `Location`; a `mode` is left out.
        write_options: As in `Location`; a `mode` is left out.

    Raises:
        DatasetError: a mode asks for appending; a save replaces the file.
    """
    url = os.fspath(filepath)
    for prefix in ("file://", "local://"):
        url = url.removeprefix(prefix)
    is_local = "://" not in url and "::" not in url
    if is_local:
        try:
            path = Path(url).expanduser()
        except RuntimeError as error:
            raise DatasetError(f"{url}: nobody of that name has a home here") from error
        # Not Path.absolute: `..` is taken out, so that equal files have equal paths.
        url = os.path.abspath(path)  # noqa: PTH100 - not Path.resolve either, it follows links
    return Location(url, is_local, options, _without_mode(read_options), _without_mode(write_options))


def _let_go(_: object) -> None:
    """Nobody has the file any more: here goes what it needed."""


def _without_mode(options: Mapping[str, Any]) -> dict[str, Any]:
    if set(options.get("mode", "")) & set("ax+"):
        raise DatasetError(f"A save replaces the whole file: mode {options['mode']!r} cannot be had")
    return {name: value for name, value in options.items() if name != "mode"}


@contextmanager
def _compressing(file: IO[bytes], compression: str, url: str) -> Iterator[IO[bytes]]:
    name = importlib.import_module("fsspec.core").get_compression(url, compression)
    with importlib.import_module("fsspec.compression").compr[name](file, mode="wb") as packed:
        yield packed
