"""Every error can be pickled, names its culprit, and has the base classes that the tree in `errors.py` shows."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle
import re

import cloudpickle
import pytest

from penstock import errors
from penstock.errors import (
    CannotSendError,
    CircularDependencyError,
    ClusterError,
    ConfirmNotUniqueError,
    DatasetAlreadyExistsError,
    DatasetError,
    DatasetNotFoundError,
    InvalidNodeError,
    InvalidPipelineError,
    MissingInputError,
    NodeDataError,
    NodeError,
    NoWorkersError,
    OutputNotUniqueError,
    PenstockError,
    PipelineError,
    RunnerError,
    SelectionError,
    SignatureError,
    UnfitWorkersError,
)

pytestmark = [pytest.mark.smoke, pytest.mark.pythons]


EXAMPLES = [
    PenstockError("the river is dry"),
    PipelineError("no such dataset", ["river"], "Look upstream"),
    CircularDependencyError(["river", "sea", "river"]),
    OutputNotUniqueError({"river": ["spring", "rain"]}),
    ConfirmNotUniqueError({"river": ["spring", "rain"]}),
    InvalidNodeError("'turn' of the function 'turbine'", "is wrong", ["river"], "Look again"),
    SignatureError("turbine", ["water"], {"oil": "river"}),
    InvalidPipelineError("two nodes have one name", ["river"], "Rename one"),
    SelectionError("no such nodes", ["river"], ["rivers"]),
    NodeDataError("turbine", "wrong outputs", "['power']", "'river'"),
    DatasetError("cannot load river"),
    DatasetNotFoundError("river is not in the catalog"),
    DatasetAlreadyExistsError("river is in the catalog already"),
    CannotSendError({"river": "it flows"}),
    MissingInputError({"river"}, "DataCatalog", {"river": ["rivers"]}),
    RunnerError("max_workers is 0, the river needs at least 1"),
    ClusterError("no scheduler answers at the river"),
    NoWorkersError("No worker in 5 s", ["job 12: PENDING (the river is low)"]),
    UnfitWorkersError(["worker river has Python 3.9"], "Start it with the Python of the driver"),
    NodeError("node river", "its worker is gone"),
]

CLASSES = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, Exception) and error.__module__ == errors.__name__
]

LINE_OF_THE_TREE = re.compile(r"^(?P<stem>[ |`-]*)(?P<error>[A-Z]\w+Error)(?: +(?P<builtin>[A-Z]\w+Error):)?")


def tree():
    """Name of the error -> names of its parent and of its built-in, as the tree in the module's docstring has them."""
    bases_by_error, path = {}, []
    for line in (errors.__doc__ or "").splitlines():
        found = LINE_OF_THE_TREE.match(line)
        if found:
            depth = len(found["stem"]) // 4 - 1
            path = [*path[:depth], found["error"]]
            bases_by_error[found["error"]] = {*path[-2:-1], *filter(None, [found["builtin"]])}
    return bases_by_error


def name(thing):
    return (thing if isinstance(thing, type) else type(thing)).__name__


def test_every_error_has_an_example():
    """The tests below use this list: add each new error to it."""
    assert [name(example) for example in sorted(EXAMPLES, key=name)] == sorted(map(name, CLASSES))


@pytest.mark.parametrize("through", [pickle, cloudpickle], ids=lambda module: module.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", EXAMPLES, ids=name)
def test_a_pickled_error_keeps_all_its_parts(error, through, protocol):
    """Its type, arguments, text and attributes, and the notes that were added later."""
    sent = copy.copy(error)
    sent.__notes__ = ["Raised in node turbine"]

    arrived = pickle.loads(through.dumps(sent, protocol=protocol))

    assert type(arrived) is type(sent)
    assert arrived.args == error.args
    assert str(arrived) == str(error)
    assert vars(arrived) == {**vars(error), "__notes__": ["Raised in node turbine"]}


@pytest.mark.parametrize("error", EXAMPLES, ids=name)
def test_an_error_names_its_culprit(error):
    assert "river" in str(error)


WITH_PARTS = [example for example in EXAMPLES if "__init__" in vars(type(example))]


@pytest.mark.parametrize("error", WITH_PARTS, ids=name)
def test_an_error_keeps_its_arguments(error):
    """As attributes with the names of its parameters, and in `args`, from which unpickling makes it again."""
    parameters = list(inspect.signature(type(error)).parameters)

    assert len(error.args) == len(parameters)
    assert set(parameters) <= set(vars(error))


@pytest.mark.parametrize("error", CLASSES, ids=name)
def test_an_error_has_the_base_classes_of_the_tree(error):
    """A user's `except ValueError` keeps working."""
    bases = tree()[name(error)]

    if error is not PenstockError:
        assert {name(base) for base in error.__bases__} == bases
    assert issubclass(error, PenstockError)


def test_the_tree_has_every_error_and_no_other():
    assert set(tree()) == set(map(name, CLASSES))


@pytest.mark.parametrize("error", CLASSES, ids=name)
def test_an_error_has_a_docstring_and_a_name_of_its_own(error):
    assert inspect.getdoc(error)
    assert not hasattr(builtins, name(error))
