"""A Chromium, and a cluster whose dashboard it visits."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.dashboard import browser


def why_no_browser():
    if browser.command() is not None:
        return None
    if not hasattr(os, "geteuid") or os.geteuid():
        return "Chromium is not installed, and only root can install it"
    if not shutil.which("apt-get"):
        return "Chromium is not installed, and there is no apt-get to install it with"
    return None


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a Chromium."""
    reason = why_no_browser()
    if reason is not None:
        pytest.skip(reason)
    if browser.command() is None:
        apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
        for command in (["update"], ["install", "--no-install-recommends", "chromium", "fonts-dejavu-core"]):
            subprocess.run(
                [*apt, *command], check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            )
    with browser.browser(tmp_path_factory.mktemp("chromium")) as port:
        yield port


@pytest.fixture
def visit(port):
    """Opens a page, and gives it; the end of the test closes it."""
    pages = []

    def opened(url):
        pages.append(browser.Page(port, url))
        return pages[-1]

    yield opened
    for page in pages:
        page.close()


@pytest.fixture
def picture_of(tmp_path):
    """Writes what is to be seen on a page, to where the variable PENSTOCK_ARTEFACTS says that it outlives the tests."""
    folder = Path(os.environ.get("PENSTOCK_ARTEFACTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name, page: (folder / f"{name}.png").write_bytes(page.picture())
