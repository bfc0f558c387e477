"""Files that are replaced whole or not at all.

| store | how |
| --- | --- |
| local | written beside the file under a hidden name, flushed to the disk, renamed onto it |
| fsspec, with a rename of its own (SFTP, HDFS, FTP, SMB ...) | written here, uploaded beside the file, renamed onto it |
| fsspec, without (S3, GCS, memory ...) | written here, then put as one object, which those stores show when it is complete |

A failure while the data is being written removes what was written. A killed process may leave a hidden file beside the
old one. Some stores do not rename onto an existing file; there, and only there, the old file steps aside for a moment.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

_ONE_PIECE_BYTES = 64 * 2**20
"""Up to this size an upload is read into memory and sent by one call."""


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, which takes the place of `path` when the block ends, and vanishes when the block raises.

    As with `open(path, "wb")`, links are followed, the mode of an old file stays and a new one gets what the umask
    leaves, and a file that may not be written is not replaced. Missing folders are made.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        # A folder fails here, with the right error; a device or a pipe has to be written as it is.
        with target.open("wb") as file:
            yield file
        return
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(13, os.strerror(13), str(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(_hidden_name(target.name))
    try:
        with _new_file(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _keep_mode(target, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replaced_object(fs: Any, path: str, options: Mapping[str, Any]) -> Iterator[IO[bytes]]:
    """A binary file to write to, which is uploaded to `path` when the block ends, and is dropped when the block raises.

    Args:
        fs: An fsspec file system.
        path: Where on it.
        options: Arguments of the file system's `pipe_file` and `put_file`.

    Raises:
        OSError: the file system cannot store it.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        source = Path(folder, "upload")
        with _new_file(source) as file:
            yield file
        if _renames(fs):
            _upload_and_rename(fs, source, path, options)
        else:
            _upload(fs, source, path, options)


def _new_file(path: Path) -> IO[bytes]:
    # Opened by descriptor: a file that knows its path makes pandas open the path a second time. 0o666 is what open() asks for.
    return os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb"
    )


def _hidden_name(name: str) -> str:
    # File systems allow 255 bytes a name; a character has up to four.
    return f".{name[:50]}.{os.getpid()}-{os.urandom(4).hex()}.tmp"


def _keep_mode(old: Path, new: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        new.chmod(stat.S_IMODE(old.stat().st_mode))


def _renames(fs: Any) -> bool:
    import fsspec  # noqa: PLC0415 - costs 0.1 s, and who has a file system has paid for it

    # The one that all inherit copies and removes, which shows a half copied file.
    return getattr(fs.mv, "__func__", None) is not fsspec.AbstractFileSystem.mv


def _upload(fs: Any, source: Path, path: str, options: Mapping[str, Any]) -> None:
    if source.stat().st_size <= _ONE_PIECE_BYTES:
        fs.pipe_file(path, source.read_bytes(), **options)
    else:
        fs.put_file(str(source), path, **options)


def _upload_and_rename(fs: Any, source: Path, path: str, options: Mapping[str, Any]) -> None:
    target = PurePosixPath(path)
    temporary = str(target.with_name(_hidden_name(target.name)))
    try:
        try:
            _upload(fs, source, temporary, options)
        except OSError:
            # Made only when missing: asking an object store for a folder can make a bucket.
            if fs.exists(str(target.parent)):
                raise
            fs.makedirs(str(target.parent), exist_ok=True)
            _upload(fs, source, temporary, options)
        _rename_over(fs, temporary, path)
    except BaseException:
        with contextlib.suppress(Exception):
            fs.rm_file(temporary)
        raise


def _rename_over(fs: Any, temporary: str, path: str) -> None:
    try:
        fs.mv(temporary, path)
    except OSError:
        if not fs.exists(path):
            raise
    if not fs.exists(temporary):
        return
    # This store refuses, some without a word, to rename onto a file that is there. The old one steps aside.
    aside = f"{temporary}.old"
    try:
        fs.mv(path, aside)
        fs.mv(temporary, path)
    except BaseException:
        # A store may have renamed although its answer did not come.
        if not fs.exists(path):
            fs.mv(aside, path)
        elif fs.exists(aside):
            fs.rm_file(aside)
        raise
    fs.rm_file(aside)
