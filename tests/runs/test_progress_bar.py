"""The progress bar: on a terminal, in a notebook, and nothing elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest

from penstock import SequentialRunner
from penstock.pipeline import node, pipeline
from penstock.runs.progress_bar import Bar
from penstock.testing import add_one

pytestmark = pytest.mark.slow


RUNNERS = {
    "SequentialRunner": "SequentialRunner(progress=True)",
    "ParallelRunner": "ParallelRunner(2, progress=True)",
    "DaskRunner": "DaskRunner(n_workers=1, threads_per_worker=2, dashboard_address='127.0.0.1:0', progress=True)",
}

PROGRAM = """
import logging, time
import penstock
from penstock.pipeline import node, pipeline

def slow(a):
    time.sleep(SECONDS)
    print("printed")
    logging.getLogger("turbines").warning("logged")
    return a

def fails(a):
    raise ValueError("too many turbines")

if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    nodes = [node(slow, "a", "b", name="first"), node(LAST, "b", "c", name="second")]
    penstock.run(pipeline(nodes), {"a": 1}, penstock.RUNNER)
    print("done")
"""


def program(runner="SequentialRunner", last="slow", seconds=0.3):
    return PROGRAM.replace("RUNNER", RUNNERS[runner]).replace("LAST", last).replace("SECONDS", str(seconds))


def on_a_terminal(text, path, columns=80):
    """What a script shows on a terminal of its own: what was sent to it, and what can be read on it in the end."""
    pty = pytest.importorskip("pty", reason="there are no such terminals here")
    path.write_text(text)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "DASK_LOGGING__DISTRIBUTED": "critical"}
    with subprocess.Popen(
        [sys.executable, str(path)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        sent = b""
        # On Linux the end of a terminal is an error.
        with contextlib.suppress(OSError):
            while got := os.read(ours, 10_000):
                sent += got
    os.close(ours)
    assert process.returncode is not None
    return sent.decode(), shown(sent.decode())


def shown(sent):
    """The lines that can be read on a terminal: a carriage return begins the line anew, over what is there."""
    lines = []
    for line in sent.split("\n"):
        seen = ""
        for part in line.split("\r"):
            seen = part + seen[len(part) :]
        lines.append(seen.rstrip())
    return lines


@pytest.mark.parametrize(
    "runner", ["SequentialRunner", "ParallelRunner", pytest.param("DaskRunner", marks=pytest.mark.cluster)]
)
def test_on_a_terminal_what_nodes_say_stands_above_the_bar(tmp_path, runner):
    # Longer than from one look of the bar to the next, twice.
    sent, lines = on_a_terminal(program(runner, seconds=1.5), tmp_path / "script.py")

    assert sorted(lines[:4]) == ["first: logged", "printed", "printed", "second: logged"]
    assert lines[4].startswith("[####################] 2 of 2 nodes, 0:")
    assert lines[5:] == ["done", ""]
    assert "[                    ] 0 of 2 nodes, 0:00, waiting for first" in sent
    if runner == "SequentialRunner":
        # News of workers may come of both nodes at once.
        assert "[##########          ] 1 of 2 nodes, 0:0" in sent


def test_a_line_that_a_node_has_begun_stays_on_the_terminal(tmp_path):
    """The bar waits until it ends, and what comes after the run has no bar below it."""
    text = PROGRAM.replace('print("printed")', 'print("begun ", end="", flush=True); print("and ended")')
    text = text.replace('logging.getLogger("turbines").warning("logged")', 'print("left open", end="")')
    text = (
        text.replace("RUNNER", "ThreadRunner(2, progress=True)")
        .replace("LAST", "slow")
        .replace("SECONDS", "0.3")
    )
    text = text.replace('    print("done")', '    print("done")\n    logging.warning("later")')

    sent, lines = on_a_terminal(text, tmp_path / "script.py")

    assert lines.count("begun and ended") == 1
    assert "left openbegun and ended" in lines
    assert "left open" in lines
    assert [line[:7] for line in lines[-4:]] == ["[######", "done", "later", ""]
    assert sent.count("2 of 2 nodes") <= 3


def test_the_bar_of_a_failed_run_stays_where_it_was(tmp_path):
    _, lines = on_a_terminal(program(last="fails"), tmp_path / "script.py")

    bars = [line for line in lines if line.startswith("[####")]
    assert len(bars) == 1
    assert "1 of 2 nodes" in bars[0]
    assert bars[0].endswith("waiting for second")
    assert "ValueError: too many turbines" in lines


def test_a_narrow_terminal_gets_a_shorter_bar(tmp_path):
    """A line that is folded cannot be taken back."""
    sent, lines = on_a_terminal(program(), tmp_path / "script.py", columns=40)

    assert "[                    ] 0 of 2 nodes,..." in sent
    assert max(map(len, lines)) < 40


def test_without_a_terminal_nothing_is_shown(script):
    printed, errors = script(program()).communicate(timeout=60)

    assert printed == "printed\nprinted\ndone\n"
    assert sorted(errors.splitlines()) == ["first: logged", "second: logged"]


class Screen:
    def __init__(self):
        self.texts = []

    def draw(self, done, total, text):
        self.texts.append(text)


def test_the_bar_names_the_nodes_that_are_waited_for():
    nodes = [node(add_one, "a", name, name=name) for name in "bcdef"]
    nodes.append(node(lambda *numbers: sum(numbers), list("bcdef"), "g", name="g"))
    screen = Screen()
    bar = Bar(pipeline(nodes), screen)

    for name in "bcdef":
        bar.draw()
        bar.finish(name)
    bar.draw()
    bar.finish("g")
    bar.draw()

    waited_for = [text.partition("0:00")[2] for text in dict.fromkeys(screen.texts)]
    assert waited_for == [
        ", waiting for b, c, d and 2 more",
        ", waiting for c, d, e and 1 more",
        ", waiting for d, e, f",
        ", waiting for e, f",
        ", waiting for f",
        ", waiting for g",
        "",
    ]


def test_the_clock_of_the_bar_goes_on_while_a_node_works(tmp_path):
    sent, _ = on_a_terminal(program(seconds=2.5), tmp_path / "script.py")

    assert re.search(r"0 of 2 nodes, 0:0[12], waiting for first", sent)


def test_a_runner_shows_in_its_repr_that_it_shows_a_bar():
    assert repr(SequentialRunner(progress=True)).endswith("SequentialRunner(progress=True)")


NOTEBOOK = """
import json, sys, nbclient, nbformat
cells = [nbformat.v4.new_code_cell(source) for source in json.loads(sys.argv[1])]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
print(json.dumps([cell["outputs"] for cell in notebook["cells"]]))
"""


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("nbclient", "ipykernel"))),
    reason="needs a notebook's kernel: pip install nbclient ipykernel",
)
@pytest.mark.parametrize("runner", ["ParallelRunner(2, progress=True)", "DaskRunner(client, progress=True)"])
def test_in_a_notebook_all_is_shown_below_the_cell_that_runs(runner):
    """A client has a thread of its own, which was started by another cell."""
    cells = [
        "from distributed import Client; client = Client(n_workers=1, dashboard_address='127.0.0.1:0')"
        if "client" in runner
        else "",
        program().partition("def fails")[0],
        f"""nodes = [node(slow, "a", "b", name="first"), node(slow, "b", "c", name="second")]
logging.basicConfig(format="%(message)s")
penstock.run(pipeline(nodes), {{"a": 1}}, penstock.{runner})
print("done")""",
        "client.close()" if "client" in runner else "",
    ]

    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, json.dumps(cells)],
        env={**os.environ, "DASK_LOGGING__DISTRIBUTED": "critical"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    *others, outputs, last = json.loads(done.stdout)
    assert [*others, last] == [[], [], []]
    bars = [output["data"] for output in outputs if output["output_type"] == "display_data"]
    texts = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert len(bars) == 1
    assert bars[0]["text/plain"].startswith("2 of 2 nodes, 0:")
    assert '<progress value="2" max="2">' in bars[0]["text/html"]
    assert sorted(texts.split("\n")) == ["", "done", "first: logged", "printed", "printed", "second: logged"]
