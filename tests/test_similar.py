"""Names that look like other names: which are slips of the hand, and which are names of their own."""

from __future__ import annotations

import pytest

from penstock._similar import misspelt

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("reprot", "report"),
        ("reort", "report"),
        ("reports", "report"),
        ("repart", "report"),
        ("Report", "report"),
        ("model-input", "model_input"),
        ("modelinput", "model_input"),
        ("prepocessed_companies", "preprocessed_companies"),
        ("north.modle", "north.model"),
        ("table@cvs", "table@CVS"),
    ],
)
def test_slips_of_the_hand(name, other):
    assert misspelt([name, "table"], ["rows", other]) == [(name, other)]
    assert misspelt([other], [name]) == [(other, name)]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("x_train", "y_train"),
        ("part_1", "part_2"),
        ("part1", "part10"),
        ("north.clean", "south.clean"),
        ("model_a", "model"),
        ("raw_rows", "row_rows"),
        ("clean", "cleaned"),
        ("a", "b"),
        ("report", "model"),
        ("reprotx", "report"),
        ("", "a"),
    ],
)
def test_names_of_their_own(name, other):
    assert misspelt([name], [other]) == []
    assert misspelt([other], [name]) == []
