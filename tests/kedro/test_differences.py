"""What the guide for Kedro users says: its commands, its program, and its table of what differs from Kedro's own runners."""

from __future__ import annotations

import logging
import re
import shlex
import threading
import time

import kedro.runner
import pytest
import yaml
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro_datasets.json import JSONDataset

import penstock.kedro
from penstock.hooks import create_hook_manager
from tests.guides import ROOT, commands, programs, run_in_turn, texts
from tests.kedro.conftest import TAKES_RUNNER_PARAMS

GUIDE = ROOT / "examples" / "kedro_project" / "README.md"
COMMANDS = [
    command.removeprefix("kedro run ") for command in commands(GUIDE) if command.startswith("kedro run ")
]
SETTINGS = yaml.safe_load(texts(GUIDE, "yaml")[0])

needs_runner_params = pytest.mark.skipif(
    not TAKES_RUNNER_PARAMS, reason="Kedro has --runner-params from 1.6 on"
)


# The commands


@needs_runner_params
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_makes_the_runner_that_it_names(command):
    """As `kedro run` makes it; that each kind of them runs is seen in `test_command_line.py`."""
    from kedro.framework.cli.utils import _split_params  # noqa: PLC0415 - not in every Kedro

    options = dict(word.removeprefix("--").split("=", 1) for word in shlex.split(command))
    given = _split_params(None, None, options.get("runner-params", ""))

    runner = getattr(penstock.kedro, options["runner"].rpartition(".")[2])(**given, is_async=False)

    assert isinstance(runner, kedro.runner.AbstractRunner)


@needs_runner_params
def test_the_command_with_a_scheduler_file_and_policies_runs(project, cluster):
    (command,) = (command for command in COMMANDS if "scheduler_file" in command)
    here = command.replace("scheduler.json", cluster.scheduler_file).replace("train", "calibrate")

    project.kedro("run", *shlex.split(here), "--tags=gauge")

    assert "before calibrate parameters params:site.offset False" in project.notes()


@needs_runner_params
def test_the_file_for_kedro_run_gives_policies_to_names_with_dots(project):
    settings = {**SETTINGS["run"], "tags": "gauge", "runner": "penstock.kedro.ThreadRunner"}
    settings["runner_params"].pop("n_workers")
    policies = settings["runner_params"]["policies"]
    policies["north.measure"] = policies.pop("data_science.train")
    project.write("run.yml", yaml.safe_dump({"run": settings}))
    gauge = project.read("src/door/gauges.py")
    broken = "        import pathlib\n        once = pathlib.Path('once')\n        if not once.exists():\n"
    broken += "            once.touch()\n            raise OSError('the gauge is frozen')\n"
    project.write("src/door/gauges.py", gauge.replace("        return self", f"{broken}        return self"))

    project.kedro("run", "--config=run.yml", "--nodes=calibrate,north.measure")

    assert "error north.measure the gauge is frozen" in project.notes()


def test_the_program_runs_and_prints_what_stands_below_it(tmp_path):
    (program,) = programs(GUIDE)

    (printed,) = run_in_turn([program.code], tmp_path)

    assert printed.splitlines()[-1:] == program.output.splitlines()


# The table


class Watch:
    """Remembers what node hooks are given."""

    def __init__(self):
        self.nodes, self.seen = [], {}

    @hook_impl
    def before_node_run(self, node, catalog, inputs):
        self.nodes.append(node.name)
        self.seen[node.name] = {name: catalog.exists(name) for name in inputs}


def run(runner, pipe, catalog):
    watch = Watch()
    return runner.run(pipe, catalog, create_hook_manager([watch])), watch


def branches():
    """Two nodes a branch, whose data stays in memory."""
    ends = [node(lambda a: a, "a", f"{name}1", name=f"{name}1", tags=name) for name in ("north", "south")]
    return pipeline(
        [*ends] + [node(lambda x: x, f"{name}1", f"{name}2", name=f"{name}2") for name in ("north", "south")]
    )


def both(*arguments):
    """What Kedro's runner does, and what ours does."""
    runners = (kedro.runner.SequentialRunner(), penstock.kedro.SequentialRunner())
    return [run(runner, branches(), DataCatalog({"a": MemoryDataset(1)})) for runner in runners]


def test_a_branch_is_finished_before_the_next_one_begins():
    (_, theirs), (_, ours) = both()

    assert theirs.nodes == ["north1", "south1", "north2", "south2"]
    assert [name[:-1] for name in ours.nodes] in (
        [*["north"] * 2, *["south"] * 2],
        [*["south"] * 2, *["north"] * 2],
    )


def test_the_catalog_of_a_node_hook_lacks_data_in_memory_between_nodes():
    (_, theirs), (_, ours) = both()

    assert theirs.seen["north2"] == {"north1": True}
    assert ours.seen["north2"] == {"north1": False}


def test_the_result_is_a_dict_that_knows_more():
    (theirs, _), (ours, _) = both()

    assert type(theirs) is dict
    assert isinstance(ours, dict)
    assert {name: dataset.load() for name, dataset in ours.items()} == {"north2": 1, "south2": 1}
    assert ours.producers["north2"] == "north2"


def test_the_log_does_not_tell_of_data_in_memory(caplog):
    caplog.set_level(logging.INFO)

    both()

    theirs, _, ours = caplog.text.partition("Running 4 nodes in")
    assert re.search(r"Loading data from \S*north1", theirs)  # an old Kedro colours it
    assert "Completed node: north2" in theirs
    assert "Loading data from" not in ours
    assert "Completed node north2 (" in ours


def slow_and_failing(failed):
    def slow(a):
        assert failed.wait(20)
        time.sleep(0.3)  # until the failure has been seen
        return a

    def fail(a):
        failed.set()
        raise ValueError("the gauge is frozen")

    return pipeline([node(slow, "a", "kept", name="slow"), node(fail, "a", "end", name="fail")])


@pytest.mark.parametrize(("module", "is_saved"), [(kedro.runner, True), (penstock.kedro, False)])
def test_what_is_in_the_middle_when_another_node_raises_is_not_saved(module, is_saved, tmp_path):
    kept = JSONDataset(filepath=str(tmp_path / "kept.json"))
    catalog = DataCatalog({"a": MemoryDataset(1), "kept": kept})

    with pytest.raises(ValueError, match="frozen"):
        run(module.ThreadRunner(max_workers=2), slow_and_failing(threading.Event()), catalog)

    assert kept.exists() == is_saved


def test_inner_methods_of_kedros_runners_are_not_there():
    assert hasattr(kedro.runner.ThreadRunner, "_get_executor")
    assert not hasattr(penstock.kedro.ThreadRunner, "_get_executor")
