from __future__ import annotations

import pickle

import pytest

from penstock.errors import (
    CircularDependencyError,
    ConfirmNotUniqueError,
    InvalidNodeError,
    InvalidPipelineError,
    NodeDataError,
    OutputNotUniqueError,
    PenstockError,
    PipelineError,
    SelectionError,
    SignatureError,
)

pytestmark = pytest.mark.smoke


ERRORS = [
    PipelineError("cannot rename", ["a", "b"], "Look again"),
    CircularDependencyError(["a", "b", "a"]),
    OutputNotUniqueError({"d": ["a", "b"]}),
    ConfirmNotUniqueError({"d": ["a", "b"]}),
    InvalidNodeError("'a' of the function 'b'", "is wrong", ["c"], "Look again"),
    SignatureError("a", ["b"], {"c": "d"}),
    InvalidPipelineError("is wrong", ["a"], "Look again"),
    SelectionError("is missing", ["a"], ["b"]),
    NodeDataError("a", "is wrong", "b", "c"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_pickled_error_keeps_all_its_parts(error):
    sent = pickle.loads(pickle.dumps(error))

    assert type(sent) is type(error)
    assert str(sent) == str(error)
    assert vars(sent) == vars(error)
    assert isinstance(sent, PenstockError)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_names_its_culprit(error):
    assert "a" in str(error)
    assert str(error) not in {str(error.args), ""}
