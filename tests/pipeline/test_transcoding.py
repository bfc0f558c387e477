from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidPipelineError
from penstock.pipeline import node, pipeline
from penstock.pipeline.transcoding import ambiguous, base_name, split
from tests.pipeline.strategies import anything, names

pytestmark = pytest.mark.smoke


PARTS = st.text("ab.:", max_size=3)


@given(PARTS, PARTS)
def test_splitting_a_name_loses_nothing(base, fmt):
    for name in (base, f"{base}@{fmt}"):
        assert "".join(split(name)) == name
        assert base_name(name) == base


def test_only_names_with_several_separators_are_ambiguous():
    assert ambiguous(["a", "b@x", "c@x@y", "d@@"]) == ["c@x@y", "d@@"]


def test_formats_of_one_dataset_link_nodes_and_stay_in_the_names():
    whole = pipeline(
        [node(anything, "b@pandas", "c@x", name="late"), node(anything, "a@csv", "b@spark", name="early")]
    )

    assert names(whole) == ["early", "late"]
    assert whole.inputs() == {"a@csv"}
    assert whole.outputs() == {"c@x"}
    assert whole.datasets() == {"a@csv", "b@spark", "b@pandas", "c@x"}


def test_bare_and_formatted_uses_of_one_dataset_are_refused_together():
    nodes = [node(anything, ["a", "b@x"], "c", name="m"), node(anything, ["a@y", "b"], "d", name="n")]

    with pytest.raises(InvalidPipelineError, match="'a', 'b'") as raised:
        pipeline(nodes)

    assert isinstance(raised.value, ValueError)
