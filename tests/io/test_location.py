import gc
import io
import tarfile
import zipfile
from pathlib import Path

import fsspec
import pytest

from penstock.errors import DatasetError
from penstock.io.location import Location, locate

pytestmark = pytest.mark.smoke


def located(filepath, **options):
    return locate(filepath, options, read_options={}, write_options={})


@pytest.mark.parametrize(
    "filepath",
    ["/data/x.csv", Path("/data/x.csv"), "file:///data/x.csv", "local:///data/x.csv", "/data/other/../x.csv"],
    ids=repr,
)
def test_a_local_file_has_one_absolute_path(filepath):
    assert located(filepath) == Location(str(Path("/data/x.csv").absolute()), is_local=True)


@pytest.mark.parametrize(
    "url", ["s3://bucket/x", "simplecache::s3://bucket/x", "memory://x", "zip://a::/data/x.zip"]
)
def test_other_locations_are_passed_to_fsspec_unchanged(url):
    assert located(url, anon=True) == Location(url, is_local=False, options={"anon": True})


@pytest.mark.parametrize("filepath", [None, 3, ["x"]], ids=repr)
def test_a_path_is_a_text_or_a_path(filepath):
    with pytest.raises(TypeError):
        located(filepath)


def test_options_are_not_shown():
    assert "hunter22" not in repr(located("s3://bucket/x", secret="hunter22"))


def test_two_readers_of_one_file_in_memory_have_their_own_positions():
    """fsspec opens one and the same object for all of them."""
    fsspec.filesystem("memory").pipe_file("/shared", b"content")
    location = located("memory://shared")

    with location.open() as first, location.open() as second:
        start = first.read(3)
        assert second.read() == b"content"
        assert start + first.read() == b"content"


def test_a_file_is_closed_when_the_reader_is_done(tmp_path):
    (tmp_path / "file").write_bytes(b"content")

    with located(tmp_path / "file").open() as file:
        pass

    assert file.closed


def test_folders_and_files_are_distinguished(tmp_path):
    (tmp_path / "file").touch()
    fsspec.filesystem("memory").pipe_file("/distinct/file", b"")

    answers = [
        located(path).is_folder()
        for path in (tmp_path, tmp_path / "file", "memory://distinct", "memory://distinct/file")
    ]

    assert answers == [True, False, True, False]


def test_releasing_a_url_drops_the_cached_listings_of_file_and_folder():
    invalidated = []

    class Caching(fsspec.AbstractFileSystem):
        protocol = "caching"

        def invalidate_cache(self, path=None):
            invalidated.append(path)

    fsspec.register_implementation("caching", Caching, clobber=True)

    located("caching://folder/file").invalidate_cache()

    assert invalidated == ["folder/file", "folder"]


def test_a_home_folder_that_does_not_exist_is_reported():
    with pytest.raises(DatasetError, match="Cannot find the home folder in ~no_user_of_that_name/file"):
        located("~no_user_of_that_name/file")


def packed(path, content):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("file", content)
    else:
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo("file")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_file_in_an_archive_is_read(tmp_path, kind):
    """Its file system closes the archive when it is freed."""
    path = tmp_path / f"archive.{kind}"
    packed(path, b"content")

    with located(f"{kind}://file::{path}").open() as file:
        gc.collect()
        assert file.read() == b"content"
