"""Each test runs in at least one of the environments that `tox` runs, whatever markers it has."""

from __future__ import annotations

import configparser
import itertools
import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]

PLACES = ("newest", "oldest", "pythons", "slow", "apart", "slurm", "browser")
"""The markers that say where a test runs."""


def expressions():
    """The -m of each pytest that tox runs on all folders, by environment."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    return {
        name: re.search(r'pytest -m "(.*?)"(?! tests/)', tox[section]["commands"])[1]
        for name, section in {"": "testenv", "coverage": "testenv:coverage", "mindeps": "testenv:mindeps", "apart": "testenv:apart"}.items()
    }  # fmt: skip


def environments_of(markers):
    names = {marker: marker in markers for marker in PLACES}
    # The grammar of -m is a part of Python's.
    return {name for name, text in expressions().items() if eval(text, {}, names)}


def combinations():
    for count in range(len(PLACES) + 1):
        yield from map(frozenset, itertools.combinations(PLACES, count))


@pytest.mark.parametrize("markers", [each for each in combinations() if not {"newest", "oldest"} <= each])
def test_a_test_with_these_markers_runs_somewhere(markers):
    assert environments_of(markers) - {""}


def test_a_test_without_markers_runs_on_the_newest_and_on_the_oldest():
    assert environments_of(()) == {"coverage", "mindeps"}


def test_no_test_is_for_the_newest_and_for_the_oldest_only(pytester):
    pytester.makeconftest("from tests.conftest import pytest_collection_modifyitems")
    pytester.makepyfile("import pytest\n@pytest.mark.newest\n@pytest.mark.oldest\ndef test_it(): ...")

    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*::test_it is marked newest and oldest: it would run nowhere")
