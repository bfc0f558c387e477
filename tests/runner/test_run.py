"""penstock.run: the whole Python call, with the pipeline's own hooks."""

from __future__ import annotations

import re

import pytest

import penstock
from penstock import DataCatalog, ThreadRunner, hook_impl, node
from penstock.pipeline import pipeline
from penstock.testing import add_one, fail

ADD = pipeline([node(add_one, "a", "b", name="add")])


class Witness:
    """Notes the pipeline's hooks, and those of nodes."""

    def __init__(self):
        self.calls = []

    @hook_impl
    def before_pipeline_run(self, run_params, pipeline, catalog):
        self.calls.append(("before", run_params, pipeline, catalog))

    @hook_impl
    def after_pipeline_run(self, run_params, run_result, pipeline, catalog):
        self.calls.append(("after", run_params, run_result))

    @hook_impl
    def on_pipeline_error(self, error, run_params, pipeline, catalog):
        self.calls.append(("error", run_params, error))

    @hook_impl
    def before_node_run(self, node, run_id):
        self.calls.append(("node", node.name, run_id))


def test_a_dict_of_data_is_enough():
    result = penstock.run(ADD, {"a": 1})

    assert result["b"].load() == 2


def test_a_catalog_is_taken_as_it_is():
    catalog = DataCatalog({"a": 1})

    result = penstock.run(ADD, catalog, ThreadRunner(max_workers=1))

    assert result["b"].load() == catalog["b"].load() == 2


@pytest.mark.parametrize(
    ("text", "meant"), [("thread", "Thread"), ("SequentialRunner", "Sequential"), ("dask", "Dask")]
)
def test_a_text_is_refused_as_a_runner(text, meant):
    message = f"The runner is '{text}'; give a runner, for instance penstock.{meant}Runner()"
    with pytest.raises(penstock.RunnerError, match=re.escape(message)):
        penstock.run(ADD, {"a": 1}, text)


@pytest.mark.parametrize("catalog", [{"a": 1}, DataCatalog({"a": 1})])
def test_a_catalog_in_the_place_of_the_runner_is_refused(catalog):
    kind = type(catalog).__name__

    with pytest.raises(penstock.RunnerError, match=f"is a ThreadRunner, and the runner a {kind}: swap them"):
        penstock.run(ADD, ThreadRunner(1), catalog)
    with pytest.raises(penstock.RunnerError, match=f"The runner is a {kind}; give a runner"):
        penstock.run(ADD, {"a": 1}, catalog)


@pytest.mark.parametrize("catalog", [[1], "a", 3])
def test_data_without_names_is_refused_as_a_catalog(catalog):
    kind = type(catalog).__name__

    with pytest.raises(TypeError, match=f"datasets is a {kind}; give a dict of datasets by name"):
        penstock.run(ADD, catalog)


@pytest.mark.parametrize("runner", [None, ThreadRunner(1)])
def test_a_text_is_refused_for_only_missing_outputs(runner):
    """`"no"` would count as true, and skip nodes."""
    with pytest.raises(penstock.RunnerError, match="only_missing_outputs is 'no'; give True or False"):
        penstock.run(ADD, {"a": 1}, runner, only_missing_outputs="no")


def test_hooks_enclose_the_run():
    witness, catalog = Witness(), DataCatalog({"a": 1})

    result = penstock.run(ADD, catalog, hooks=[witness], run_id="r1")

    kinds = [call[0] for call in witness.calls]
    assert kinds == ["before", "node", "after"]
    _, run_params, given_pipeline, given_catalog = witness.calls[0]
    assert run_params["run_id"] == witness.calls[1][2] == result.run_id == "r1"
    assert "SequentialRunner" in run_params["runner"]
    assert (given_pipeline, given_catalog) == (ADD, catalog)
    assert witness.calls[2][2] is result


def test_an_error_reaches_the_hook_and_the_caller():
    witness = Witness()

    with pytest.raises(ValueError, match="turbines") as caught:
        penstock.run(pipeline([node(fail, "a", "b", name="bad")]), {"a": 1}, hooks=[witness])

    assert [call[0] for call in witness.calls] == ["before", "node", "error"]
    assert witness.calls[-1][2] is caught.value


def test_a_class_is_refused_as_a_hook():
    with pytest.raises(TypeError, match=r"Witness\(\)"):
        penstock.run(ADD, {"a": 1}, hooks=[Witness])


def test_only_missing_outputs_is_passed_on(tmp_path):
    stored = penstock.JSONDataset(str(tmp_path / "b.json"))
    stored.save(7)

    result = penstock.run(ADD, {"a": 1, "b": stored}, only_missing_outputs=True)

    assert (result, result.records) == ({"b": stored}, [])
    assert stored.load() == 7
