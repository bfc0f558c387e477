"""Atomic writes: a file is replaced as a whole or not at all.

| store | how |
| --- | --- |
| local | write a hidden file in the same folder, flush it to the disk, rename it onto the old file |
| fsspec with its own rename (SFTP, HDFS, FTP, SMB ...) | write a local file, upload it to the same folder, rename it onto the old file |
| fsspec without (S3, GCS, memory ...) | write a local file, upload it as one object; these stores show an object when it is complete |

If writing fails, the new file is removed. A killed process can leave a hidden file next to the old one. Some stores cannot
rename onto an existing file; only there, the old file is renamed first, and missing for a moment.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

_LARGEST_SINGLE_UPLOAD_BYTES = 64 * 2**20
"""A file of up to this size is read into memory and uploaded by one call; a larger one is uploaded from its path."""


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write to. It replaces `path` when the block ends, and is removed when the block raises.

    As with `open(path, "wb")`, links are followed, an old file keeps its mode, the umask applies to a new file, and a
    file without write permission is not replaced. Missing folders are created.

    Raises:
        OSError: The file cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        # A folder fails here with the right error; a device or a pipe cannot be replaced, only written to.
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
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_upload(fs: Any, path: str, options: Mapping[str, Any]) -> Iterator[IO[bytes]]:
    """A binary file to write to. It is uploaded to `path` when the block ends, and removed when the block raises.

    Args:
        fs: An fsspec file system.
        path: The path on the file system.
        options: Arguments of the file system's `pipe_file` and `put_file`.

    Raises:
        OSError: The file system cannot store the file.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        source = Path(folder, "upload")
        with _new_file(source) as file:
            yield file
        if _has_own_rename(fs):
            _upload_and_rename(fs, source, path, options)
        else:
            _upload(fs, source, path, options)


def _new_file(path: Path) -> IO[bytes]:
    # Opened by descriptor: pandas would open the path of a file a second time. 0o666 is the mode that open() uses.
    return os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb"
    )


def _hidden_name(name: str) -> str:
    # File systems allow 255 bytes for a name, and a character has up to four.
    return f".{name[:50]}.{os.getpid()}-{os.urandom(4).hex()}.tmp"


def _has_own_rename(fs: Any) -> bool:
    import fsspec  # noqa: PLC0415 - takes 0.1 s, and is imported already where there is a file system

    # The inherited `mv` copies and removes: readers would see a file that is copied in part.
    return getattr(fs.mv, "__func__", None) is not fsspec.AbstractFileSystem.mv


def _upload(fs: Any, source: Path, path: str, options: Mapping[str, Any]) -> None:
    if source.stat().st_size <= _LARGEST_SINGLE_UPLOAD_BYTES:
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
            # The folder is created only if it is missing: in an object store, creating a folder can create a bucket.
            if fs.exists(str(target.parent)):
                raise
            fs.makedirs(str(target.parent), exist_ok=True)
            _upload(fs, source, temporary, options)
        _rename_onto(fs, temporary, path)
    except BaseException:
        with contextlib.suppress(Exception):
            fs.rm_file(temporary)
        raise


def _rename_onto(fs: Any, temporary: str, path: str) -> None:
    try:
        fs.mv(temporary, path)
    except OSError:
        if not fs.exists(path):
            raise
    if not fs.exists(temporary):
        return
    # This store cannot rename onto an existing file; some stores do not even raise an error. Rename the old file first.
    backup = f"{temporary}.old"
    try:
        fs.mv(path, backup)
        fs.mv(temporary, path)
    except BaseException:
        # The rename may have succeeded although the store's answer was lost.
        if not fs.exists(path):
            fs.mv(backup, path)
        elif fs.exists(backup):
            fs.rm_file(backup)
        raise
    fs.rm_file(backup)
