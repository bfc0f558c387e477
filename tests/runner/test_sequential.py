"""SequentialRunner: the contract, with and without is_async."""

from __future__ import annotations

import pytest

from penstock.io import DataCatalog
from penstock.logs.current_node import CURRENT_NODE
from penstock.pipeline import node, pipeline
from penstock.runner import SequentialRunner
from penstock.testing import DiaryDataset, RunnerContract, add_one


@pytest.mark.smoke
@pytest.mark.pythons
class TestSequentialRunner(RunnerContract):
    @pytest.fixture
    def runner(self):
        return SequentialRunner()


@pytest.mark.oldest
class TestSequentialRunnerAsync(RunnerContract):
    is_async = True

    @pytest.fixture
    def runner(self):
        return SequentialRunner(is_async=True)


def test_nodes_run_on_the_calling_thread():
    """A debugger that stops in a node shows who called `run`."""
    nodes = pipeline([node(add_one, "a", "b")])

    result = SequentialRunner().run(nodes, DataCatalog({"a": 1}))

    assert result.records[0].worker == "MainThread"


def test_a_node_is_saved_before_an_independent_one_starts(diary):
    """A failure in the second branch must not cost what the first has made."""
    catalog = DataCatalog({"a": 1, **{name: DiaryDataset(name, diary) for name in ("x", "y")}})
    nodes = pipeline(
        [
            node(lambda a, name=name: diary.note_and_return(f"call {name}", a), "a", name, name=name)
            for name in ("x", "y")
        ]
    )

    SequentialRunner().run(nodes, catalog)

    kinds = diary.kinds()
    assert sorted([tuple(kinds[:3]), tuple(kinds[3:])]) == [
        ("call x", "save x", "saved x"),
        ("call y", "save y", "saved y"),
    ]


def test_its_repr_shows_its_arguments():
    """Kedro writes it into the run's parameters."""
    assert repr(SequentialRunner()) == "penstock.runner.sequential.SequentialRunner()"
    assert repr(SequentialRunner(is_async=True)) == (
        "penstock.runner.sequential.SequentialRunner(is_async=True)"
    )


def test_a_run_after_an_interrupted_one_is_nobodys():
    """Ctrl-C may come before a node has said that it is done with its work."""

    class Interrupted(SequentialRunner):
        def execute(self, plan, backend):
            CURRENT_NODE.set(object())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted().run(pipeline([node(add_one, "a", "b")]), DataCatalog({"a": 1}))

    assert CURRENT_NODE.get() is None
