"""mypy says the same when it reads a changed file again, with all else from its cache."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("mypy", reason="mypy is in the group `typing`")

PROGRAM = """
import penstock
import penstock.pipeline
from penstock import node
from penstock.pipeline import node as make_node, pipeline

count = penstock.node(len, "a", "b", name="count")
show = node(str, "b", "c", name="show")
shout = make_node(str.upper, "c", "d", name="shout")
same = penstock.pipeline.node(str.lower, "d", "e", name="calm")
penstock.run(pipeline([count, show, shout, same]), {"a": "text"})
"""


@pytest.mark.slow
def test_a_program_that_has_changed_is_as_right_as_before(tmp_path):
    """`node` is a class in one place and a module in another; mypy takes one for the other where both have one full name."""
    program, said = tmp_path / "program.py", []
    for number in range(2):
        program.write_text(f"{PROGRAM}\nlast: int = {number}\nname_{number} = last\n")
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", program]
        said.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout)

    assert said == ["Success: no issues found in 1 source file\n"] * 2
