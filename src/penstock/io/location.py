"""The location of a file: a path on this machine, or a URL that fsspec supports."""

from __future__ import annotations

import importlib
import io
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeAlias, cast

from penstock.errors import DatasetError
from penstock.io.atomic import atomic_upload, atomic_write

Options: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Location:
    """One file, on this machine or on any file system of fsspec.

    It holds no open file, so it can be pickled, and several threads can use it. fsspec caches the file system by its
    options.

    Attributes:
        url: An absolute path, or a URL.
        is_local: Whether `url` is a path.
        options: Arguments of the file system, including credentials.
        read_options: Arguments of the file system's `open` for reading, for instance `compression`.
        write_options: For writing: `compression`, and arguments of the file system's `pipe_file` and `put_file`.
    """

    url: str
    is_local: bool
    options: Options = field(default_factory=dict, repr=False)
    read_options: Options = field(default_factory=dict)
    write_options: Options = field(default_factory=dict)

    def open(self) -> IO[bytes]:
        """The file, open for reading; the caller closes it."""
        if self.is_local and not self.read_options:
            return Path(self.url).open("rb")
        fs, path = self.file_system_and_path()
        if fs.protocol == "memory" and not self.read_options:
            # `fs.open` returns one file object for all readers, and they would share its position.
            return io.BytesIO(fs.cat_file(path))
        file = fs.open(path, "rb", **self.read_options)
        if not fs.cachable:
            # fsspec does not cache this file system, and an archive is closed when its file system is freed. The
            # finalizer refers to the file system until the file is freed.
            weakref.finalize(file, lambda _: None, fs).atexit = False
        return cast("IO[bytes]", file)

    @contextmanager
    def replace(self) -> Iterator[IO[bytes]]:
        """A file to write to. It replaces this one when the block ends, and is removed when the block raises."""
        options = dict(self.write_options)
        compression = options.pop("compression", None)
        with (
            self._uncompressed_replacement(options) as file,
            _compressed(file, compression, self.url) as replacement,
        ):
            yield replacement

    def _uncompressed_replacement(self, options: Options) -> AbstractContextManager[IO[bytes]]:
        if self.is_local:
            return atomic_write(Path(self.url))
        fs, path = self.file_system_and_path()
        return atomic_upload(fs, path, options)

    def exists(self) -> bool:
        """Whether there is a file or a folder now; fsspec's cached listing is dropped first."""
        if self.is_local:
            return Path(self.url).exists()
        self.invalidate_cache()
        fs, path = self.file_system_and_path()
        return bool(fs.exists(path))

    def is_folder(self) -> bool:
        """Whether it is a folder of files."""
        if self.is_local:
            return Path(self.url).is_dir()
        fs, path = self.file_system_and_path()
        return bool(fs.isdir(path))

    def invalidate_cache(self) -> None:
        """Drop fsspec's cached listings of the file and its folder."""
        if not self.is_local:
            fs, path = self.file_system_and_path()
            fs.invalidate_cache(path)
            fs.invalidate_cache(str(PurePosixPath(path).parent))

    def file_system_and_path(self) -> tuple[Any, str]:
        """The file system, and the path on it."""
        # Imported here, since it takes 0.1 s and local files do not need it.
        fs, path = importlib.import_module("fsspec.core").url_to_fs(self.url, **self.options)
        return fs, path


def locate(
    filepath: str | os.PathLike[str], options: Options, read_options: Options, write_options: Options
) -> Location:
    """The location for a path or URL as a user writes it.

    Args:
        filepath: A URL that fsspec supports, also a chained one, or a local path with or without `file://`. `~` is the
            home folder. A relative path becomes absolute here: other processes may have another current folder.
        options: As in `Location`.
        read_options: As in `Location`; a `mode` is dropped.
        write_options: As in `Location`; a `mode` is dropped.

    Raises:
        DatasetError: A mode asks for appending, or the path names the home folder of a user that does not exist.
    """
    url = os.fspath(filepath)
    for prefix in ("file://", "local://"):
        url = url.removeprefix(prefix)
    is_local = "://" not in url and "::" not in url
    if is_local:
        path = os.path.expanduser(url)  # noqa: PTH111 - an unknown user is an error of ours
        if path.startswith("~"):
            raise DatasetError(f"Cannot find the home folder in {url}: check the user name after '~'")
        # Not Path.absolute: this removes `..`, so that equal files have equal paths.
        url = os.path.abspath(path)  # noqa: PTH100 - not Path.resolve either, it follows links
    return Location(url, is_local, options, _without_mode(read_options), _without_mode(write_options))


def _without_mode(options: Options) -> dict[str, Any]:
    if set(options.get("mode", "")) & set("ax+"):
        raise DatasetError(f"mode {options['mode']!r} is not supported: a save replaces the whole file")
    return {name: value for name, value in options.items() if name != "mode"}


def _compressed(file: IO[bytes], compression: str | None, url: str) -> Any:
    if compression is None:
        return nullcontext(file)
    name = importlib.import_module("fsspec.core").get_compression(url, compression)
    return importlib.import_module("fsspec.compression").compr[name](file, mode="wb")
