"""Which files are watched between runs: those that the user edits, and at hardly any cost."""

from __future__ import annotations

import importlib
import json
import sys
import types

import dask
import pytest

import penstock
from penstock.runner.processes import source_changes as sources


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's."""
    name = "watched_for_penstock"
    (tmp_path / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(name)
    del sys.modules[name]


def test_files_of_the_user_are_watched_and_no_installed_ones(module):
    """A few thousand installed modules are loaded, and nobody edits them."""
    watched = sources.changes()

    assert module.__file__ in watched
    assert not {json.__file__, dask.__file__, pytest.__file__, penstock.__file__} & set(watched)


def test_a_file_that_is_gone_is_not_watched(module, tmp_path):
    (tmp_path / "watched_for_penstock.py").unlink()

    assert module.__file__ not in sources.changes()


def test_a_module_that_is_loaded_when_it_is_used_stays_unused(monkeypatch):
    """To ask such a module for its file would import it, which may take seconds."""

    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            raise AssertionError(name)

    class Posing:
        """As a library that cffi has opened."""

        __slots__ = ()
        __class__ = types.ModuleType

    monkeypatch.setitem(sys.modules, "lazy_for_penstock", Lazy("lazy_for_penstock"))
    monkeypatch.setitem(sys.modules, "posing_for_penstock", Posing())
    monkeypatch.setitem(sys.modules, "none_for_penstock", None)

    sources.changes()
