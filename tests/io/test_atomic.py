"""A save replaces the file whole or not at all: by exceptions, by kills, on stores that rename and on those that do not."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow.fs
import pytest
from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from penstock.io import DatasetError, PickleDataset, TextDataset
from penstock.io.atomic import atomic_upload, atomic_write

posix = pytest.mark.skipif(os.name != "posix", reason="modes and signals of POSIX")


def write(path, content, error=None):
    with atomic_write(path) as file:
        file.write(content)
        file.flush()
        if error is not None:
            raise error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_only_after_all_data_is_written(tmp_path):
    path = tmp_path / "file"

    with atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        is_there_at_half = path.exists()
        file.write(b" done")

    assert not is_there_at_half
    assert path.read_bytes() == b"half done"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "file"
    write(path, b"old")

    with pytest.raises(error):
        write(path, b"half of the new", error)

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_reader_sees_the_old_file_or_the_new_one_while_many_threads_save(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([number]) * 300_000 for number in range(8)]
    write(path, contents[0])
    stop = threading.Event()

    def read():
        seen = set()
        while not stop.is_set():
            seen.add(path.read_bytes())
        return seen

    with ThreadPoolExecutor(10) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        list(pool.map(lambda content: [write(path, content) for _ in range(10)], contents))
        stop.set()

    assert readers[0].result() | readers[1].result() <= set(contents)
    assert names(tmp_path) == ["file"]


SLOW_SAVE = """
    import sys, time
    from penstock.io import PickleDataset

    class Slow:
        def __reduce__(self):
            # What came before it is in the file by now.
            print("half", flush=True)
            time.sleep(60)

    PickleDataset(sys.argv[1]).save([b"new" * 5_000_000, Slow()])
"""

ENDLESS_SAVES = """
    import itertools, sys
    from penstock.io import PickleDataset

    dataset = PickleDataset(sys.argv[1])
    print("start", flush=True)
    for number in itertools.count():
        dataset.save([number] * 300_000)
"""


def started(script, path):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    return process


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was still running"


@posix
@pytest.mark.parametrize("old", ["the old value", None], ids=["old file", "no file"])
def test_a_process_killed_during_a_save_leaves_the_old_file(tmp_path, old):
    dataset = PickleDataset(tmp_path / "file")
    if old is not None:
        dataset.save(old)

    killed(started(SLOW_SAVE, dataset.filepath))

    assert dataset.exists() == (old is not None)
    if old is not None:
        assert dataset.load() == old
    assert all(name.startswith(".") for name in names(tmp_path) if name != "file"), "what is left is hidden"


LAST_ATTEMPT = 5


@posix
def test_a_process_killed_at_any_moment_leaves_a_complete_file(tmp_path):
    dataset = PickleDataset(tmp_path / "file")

    for attempt in range(LAST_ATTEMPT + 1):
        process = started(ENDLESS_SAVES, dataset.filepath)
        time.sleep(0.05 + 0.037 * attempt)
        while attempt == LAST_ATTEMPT and not dataset.exists() and process.poll() is None:
            time.sleep(0.01)
        killed(process)

        value = dataset.load() if dataset.exists() else []
        assert len(value) in {0, 300_000}
        assert len(set(value)) <= 1

    assert dataset.exists(), "some save had time to end"
    dataset.save("next")
    assert dataset.load() == "next"


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], ids=oct)
def test_a_new_file_has_the_mode_that_open_would_give(tmp_path, umask):
    before = os.umask(umask)
    try:
        write(tmp_path / "ours", b"")
        (tmp_path / "plain").write_bytes(b"")
    finally:
        os.umask(before)

    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@posix
def test_a_replaced_file_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    write(path, b"old")
    path.chmod(0o640)

    write(path, b"new")

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    """Renaming asks the folder only; open() asks the file, and raw data is often protected so."""
    path = tmp_path / "file"
    write(path, b"old")
    path.chmod(0o444)
    # Root may write anything.
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK))

    with pytest.raises(DatasetError, match="PermissionError"):
        TextDataset(path).save("new")

    assert path.read_bytes() == b"old"


@posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "file", tmp_path / "link"
    link.symlink_to(target)

    write(link, b"new")
    write(link, b"newer")

    assert link.is_symlink()
    assert target.read_bytes() == b"newer"
    assert names(tmp_path) == ["link", "store"]


@posix
def test_a_pipe_is_written_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(pipe.read_bytes)
        write(pipe, b"through")
        assert pipe.is_fifo()

    assert received.result() == b"through"


def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(OSError, match="director"):
        write(tmp_path, b"")

    assert tmp_path.is_dir()


def test_a_name_can_be_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ("é" * 127)

    write(path, b"long")

    assert path.read_bytes() == b"long"


class Refusing(LocalFileSystem):
    """Like SMB and some HDFS: no renaming onto a file that is there."""

    protocol = "refusing"
    cachable = False
    renames = 0

    def mv(self, path1, path2, **kwargs):
        if Path(path2).exists():
            raise FileExistsError(path2)
        type(self).renames += 1
        Path(path1).rename(path2)


class Silent(Refusing):
    """Like WebHDFS: it does not rename, and does not say so."""

    def mv(self, path1, path2, **kwargs):
        if not Path(path2).exists():
            Path(path1).rename(path2)


class Broken(LocalFileSystem):
    """The connection breaks in the middle of an upload."""

    protocol = "broken"
    cachable = False

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        super().pipe_file(path, value[: len(value) // 2])
        raise ConnectionError("gone")


class Stuck(LocalFileSystem):
    """It uploads but cannot rename at all."""

    protocol = "stuck"
    cachable = False

    def mv(self, path1, path2, **kwargs):
        raise PermissionError(path2)


RENAMING = {
    "local": LocalFileSystem,
    "arrow": lambda: ArrowFSWrapper(pyarrow.fs.LocalFileSystem()),
    "refusing": Refusing,
    "silent": Silent,
}


@pytest.mark.parametrize("make", RENAMING.values(), ids=RENAMING)
def test_a_store_with_its_own_rename_has_the_new_file_and_no_other(tmp_path, make):
    path = tmp_path / "deep" / "file"

    for content in (b"old", b"new"):
        with atomic_upload(make(), str(path), {}) as file:
            file.write(content)

    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("make", [Broken, Stuck])
def test_a_failed_upload_leaves_the_old_file(tmp_path, make):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(OSError, match=r"gone|file"), atomic_upload(make(), str(path), {}) as file:
        file.write(b"the new content")

    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("make", [Broken, Stuck])
def test_a_failed_upload_leaves_no_partial_file(tmp_path, make):
    with (
        pytest.raises(OSError, match=r"gone|file"),
        atomic_upload(make(), str(tmp_path / "file"), {}) as file,
    ):
        file.write(b"the new content")

    assert names(tmp_path) == []


def test_a_failed_second_rename_restores_the_old_file(tmp_path):
    class Unlucky(Refusing):
        def mv(self, path1, path2, **kwargs):
            if path1.endswith(".tmp") and Path(path1).read_bytes() == b"new":
                raise ConnectionError("gone") if not Path(path2).exists() else FileExistsError(path2)
            super().mv(path1, path2)

    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(ConnectionError), atomic_upload(Unlucky(), str(path), {}) as file:
        file.write(b"new")

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("error", [ConnectionError, KeyboardInterrupt])
def test_a_rename_whose_answer_is_lost_leaves_a_complete_file(tmp_path, lost, error):
    class Lost(Refusing):
        answers = 0

        def mv(self, path1, path2, **kwargs):
            super().mv(path1, path2)
            Lost.answers += 1
            if Lost.answers == lost:
                raise error

    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(error), atomic_upload(Lost(), str(path), {}) as file:
        file.write(b"new")

    assert path.read_bytes() == {1: b"old", 2: b"new"}[lost]


def test_an_object_store_gets_the_data_only_after_all_is_written():
    fs = MemoryFileSystem()
    fs.pipe_file("/file", b"old")
    seen = []

    def fail_at_half():
        with atomic_upload(fs, "/file", {}) as file:
            file.write(b"half")
            file.flush()
            seen.append(fs.cat_file("/file"))
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        fail_at_half()

    assert seen == [fs.cat_file("/file")] == [b"old"]


@pytest.mark.parametrize("limit", [0, 2**20], ids=["as a file", "in one piece"])
def test_objects_of_any_size_are_uploaded(monkeypatch, limit):
    monkeypatch.setattr("penstock.io.atomic._LARGEST_SINGLE_UPLOAD_BYTES", limit)
    fs = MemoryFileSystem()

    with atomic_upload(fs, "/sized", {}) as file:
        file.write(b"content")

    assert fs.cat_file("/sized") == b"content"


def test_the_temporary_file_of_an_upload_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with atomic_upload(fsspec.filesystem("memory"), "/file", {}) as file:
        file.write(b"content")
        assert names(tmp_path)

    assert names(tmp_path) == []


def test_arguments_of_open_reach_the_upload():
    class Asking(MemoryFileSystem):
        protocol = "asking"
        asked: tuple = ()

        def pipe_file(self, path, value, mode="overwrite", **kwargs):
            Asking.asked = kwargs
            super().pipe_file(path, value)

    fsspec.register_implementation("asking", Asking, clobber=True)

    TextDataset("asking://file", fs_args={"open_args_save": {"acl": "private"}}).save("text")

    assert Asking.asked == {"acl": "private"}
