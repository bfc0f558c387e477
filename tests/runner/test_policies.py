"""How single nodes are run: retries on every runner, resources, priority and workers on a cluster."""

from __future__ import annotations

import json
import logging
import re
import time

import pytest
from distributed import Client, LocalCluster, get_worker

import penstock
from penstock import (
    DaskRunner,
    DataCatalog,
    NodePolicy,
    ParallelRunner,
    RunnerError,
    SelectionError,
    SequentialRunner,
    ThreadRunner,
)
from penstock.pipeline import node, pipeline
from penstock.runner.cluster.checks import stored_datasets
from penstock.runner.cluster.workers.waiting import resources_by_node
from penstock.testing import DiaryDataset, Recorder


@pytest.fixture(params=["sequential", "thread", "parallel", pytest.param("dask", marks=pytest.mark.cluster)])
def new_runner(request):
    """Makes a runner of each kind."""
    if request.param == "dask":
        client = request.getfixturevalue("client")
        return lambda **options: DaskRunner(client, **options)
    kinds = {"sequential": SequentialRunner, "thread": ThreadRunner, "parallel": ParallelRunner}
    return kinds[request.param]


def flaky(diary, failures, error=OSError):
    """A function that fails so often before it succeeds, and spoils its input each time."""

    def run(rows):
        diary.note("call", rows=rows)
        rows.append("spoilt")
        if len(diary.notes("call")) <= failures:
            raise error("the river is low")
        return len(diary.notes("call"))

    return run


def flaky_pipeline(diary, failures=2, error=OSError):
    return pipeline(
        [node(flaky(diary, failures, error), "rows", "calls", name="flaky", tags=["net", "slow"])]
    )


def test_a_node_that_fails_is_tried_again(new_runner, diary):
    runner = new_runner(policies={"flaky": NodePolicy(retries=2)})

    result = runner.run(flaky_pipeline(diary), DataCatalog({"rows": [1]}))

    assert result["calls"].load() == 3


def test_after_the_last_attempt_the_error_is_the_nodes_own(new_runner, diary):
    runner = new_runner(policies={"flaky": {"retries": 1}})

    with pytest.raises(OSError, match="the river is low"):
        runner.run(flaky_pipeline(diary), DataCatalog({"rows": [1]}))

    assert len(diary.notes("call")) == 2


def test_an_error_of_another_kind_is_not_tried_again(new_runner, diary):
    runner = new_runner(policies={"flaky": NodePolicy(retries=3, retry_on=(ConnectionError, "TimeoutError"))})

    with pytest.raises(OSError, match="the river is low"):
        runner.run(flaky_pipeline(diary), DataCatalog({"rows": [1]}))

    assert len(diary.notes("call")) == 1


@pytest.mark.parametrize("stored", [False, True])
def test_each_attempt_has_fresh_inputs(new_runner, diary, stored):
    """The attempt before may have changed what it was given, and failed because of that."""
    rows = DiaryDataset("rows", diary)
    first = node(lambda: [1], None, "rows", name="first")
    catalog = DataCatalog({"rows": rows} if stored else {})

    new_runner(policies={"flaky": NodePolicy(retries=2)}).run(
        pipeline([first, flaky_pipeline(diary)]), catalog
    )

    assert [note["rows"] for note in diary.notes("call")] == [[1], [1], [1]]


def test_each_wait_is_longer_than_the_one_before(new_runner, diary):
    runner = new_runner(policies={"flaky": NodePolicy(retries=2, wait_seconds=0.1, wait_factor=3.0)})

    runner.run(flaky_pipeline(diary), DataCatalog({"rows": [1]}))

    first, second, third = (note["at"] for note in diary.notes("call"))
    assert second - first >= 0.1
    assert third - second >= 0.3


class Unsteady(DiaryDataset):
    """Fails at its first save."""

    def save(self, data):
        super().save(data)
        if len(self.diary.notes(f"save {self.name}")) == 1:
            raise OSError("the disk is full")


def test_a_save_is_tried_again_by_itself(new_runner, diary):
    """Three hours of training are not done again for a store that stumbled."""
    nodes = pipeline([node(lambda: diary.note_and_return("train", 7), None, "model", name="train")])
    catalog = DataCatalog({"model": Unsteady("model", diary)})

    result = new_runner(policies={"train": NodePolicy(retries=1)}).run(nodes, catalog)

    assert result["model"].load() == 7
    assert diary.kinds().count("train") == 1
    assert diary.kinds().count("save model") == 2


def test_hooks_see_each_attempt(new_runner, diary):
    manager = penstock.create_hook_manager([Recorder(diary)])

    new_runner(policies={"flaky": NodePolicy(retries=1)}).run(
        flaky_pipeline(diary, 1), DataCatalog({"rows": [1]}), manager
    )

    fired = [kind for kind in diary.kinds() if "node" in kind]
    assert fired == ["before_node_run", "on_node_error", "before_node_run", "after_node_run"]


def test_an_attempt_that_failed_is_logged(diary, caplog):
    with caplog.at_level(logging.WARNING):
        SequentialRunner(policies={"flaky": NodePolicy(retries=1)}).run(
            flaky_pipeline(diary, 1), DataCatalog({"rows": [1]})
        )

    assert "Attempt 1 of 2 failed: node 'flaky'" in caplog.text
    assert "the river is low" in caplog.text


@pytest.mark.parametrize("new_runner", [ThreadRunner, ParallelRunner])
def test_nothing_is_tried_again_when_the_run_has_failed(new_runner):
    """An hour of waiting for a run that is over is an hour lost."""

    def late():
        time.sleep(0.2)
        raise OSError("late")

    def waits():
        raise ValueError("early")

    nodes = pipeline([node(late, None, "a", name="late"), node(waits, None, "b", name="waits")])
    started = time.monotonic()

    with pytest.raises(OSError, match="late"):
        new_runner(2, policies={"waits": NodePolicy(retries=9, wait_seconds=60)}).run(nodes, DataCatalog())

    assert time.monotonic() - started < 30


@pytest.mark.parametrize("is_async", [False, True])
def test_preflight_sees_the_datasets_of_nodes_with_retries(is_async, tmp_path):
    catalog = DataCatalog({name: penstock.TextDataset(str(tmp_path / name)) for name in "ab"})
    nodes = pipeline([node(str.upper, "a", "b", name="up")])
    runner = penstock.DaskRunner("tcp://127.0.0.1:1", is_async=is_async, policies={"up": {"retries": 1}})

    assert {each.name for each in stored_datasets(runner.plan(nodes, catalog))} == {"a", "b"}


INTERRUPTED = """
import os, signal, threading, time
import penstock
from penstock.pipeline import node, pipeline

def fails():
    print("tried", flush=True)
    raise OSError("no river")

def waits():
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)

runner = penstock.ThreadRunner(2, policies={"fails": {"retries": 9, "wait_seconds": 60}})
penstock.run(pipeline([node(fails, None, "a", name="fails"), node(waits, None, "b", name="waits")]), {}, runner)
"""


def test_nothing_is_tried_again_after_ctrl_c(script):
    started = time.monotonic()

    printed, errors = script(INTERRUPTED).communicate(timeout=50)

    assert printed == "tried\n"
    assert "Interrupted: waiting for the running nodes" in errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert time.monotonic() - started < 40


# Whose policy


def policies_of(policies):
    nodes = pipeline(
        [
            node(lambda: 1, None, "x.y.a", name="deep", namespace="x.y", tags=["net", "slow"]),
            node(lambda: 1, None, "b", name="plain", tags=["net"]),
        ]
    )
    return SequentialRunner(policies=policies).plan(nodes, DataCatalog()).policies


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["net"], "net"),
        (["net", "x"], "x"),
        (["net", "x", "x.y"], "x.y"),
        (["net", "x", "x.y", "x.y.deep"], "x.y.deep"),
    ],
)
def test_the_more_specific_policy_wins(keys, expected):
    policies = {key: NodePolicy(retries=number) for number, key in enumerate(keys, start=1)}

    assert policies_of(policies)["x.y.deep"] == policies[expected]


def test_two_tags_that_disagree_are_refused_by_name():
    policies = {"net": NodePolicy(retries=1), "slow": NodePolicy(retries=2)}

    with pytest.raises(RunnerError, match=r"net, slow for node x\.y\.deep"):
        policies_of(policies)


def test_two_tags_that_agree_are_fine():
    assert policies_of({"net": {"retries": 1}, "slow": {"retries": 1}})["x.y.deep"].retries == 1


def test_a_policy_of_a_run_for_nobody_is_refused_before_anything_runs(diary):
    with pytest.raises(SelectionError, match=r"'flakey'.*Did you mean 'flaky'"):
        SequentialRunner().run(
            flaky_pipeline(diary), DataCatalog({"rows": [1]}), policies={"flakey": NodePolicy(retries=1)}
        )

    assert diary.notes() == []


def test_a_policy_of_a_runner_for_nobody_is_logged_once_with_similar_names(new_runner, diary, caplog):
    """A runner outlives a pipeline; but a name may be misspelt."""
    runner = new_runner(policies={"flakey": {"retries": 1}, "train": {"retries": 1}})

    with caplog.at_level(logging.WARNING):
        result = runner.run(flaky_pipeline(diary, 0), DataCatalog({"rows": [1]}))

    (text,) = [record.getMessage() for record in caplog.records if "policies" in record.getMessage()]
    assert text.endswith("'flakey', 'train'; similar ones are 'flaky'")
    assert result["calls"].load() == 1


def test_the_logged_way_to_resume_works_with_the_same_runner(new_runner, diary, caplog):
    """The nodes that are done are not in that pipeline, and the runner has policies for them."""
    nodes = pipeline(
        [
            node(lambda depth: depth, "depth", "kept", name="keep"),
            node(lambda kept, width: kept / width, ["kept", "width"], "ratio", name="divide"),
        ]
    )
    catalog = DataCatalog({"depth": 6, "width": 0, "kept": DiaryDataset("kept", diary)})
    runner = new_runner(policies={"keep": {"retries": 1}, "divide": {"wait_seconds": 1}})
    with pytest.raises(ZeroDivisionError), caplog.at_level(logging.WARNING):
        runner.run(nodes, catalog)
    (names,) = re.findall(r'--from-nodes "([^"]*)"', caplog.text)
    catalog["width"] = 2

    result = runner.run(nodes.from_nodes(*names.split(",")), catalog)

    assert names == "divide"
    assert result["ratio"].load() == 3


def test_a_policy_of_a_node_that_need_not_run_is_no_error(tmp_path):
    target = penstock.TextDataset(str(tmp_path / "done.txt"))
    target.save("done")
    nodes = pipeline([node(lambda: "new", None, "text", name="write")])

    result = SequentialRunner(policies={"write": {"retries": 1}}).run(
        nodes, DataCatalog({"text": target}), only_missing_outputs=True
    )

    assert (result["text"].load(), result.records) == ("done", [])


def test_a_run_has_policies_of_its_own(diary):
    runner = SequentialRunner(policies={"flaky": {"retries": 0}})

    result = penstock.run(flaky_pipeline(diary), {"rows": [1]}, runner, policies={"flaky": {"retries": 2}})

    assert result["calls"].load() == 3


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"retires": 1}, "'flaky' has unknown fields: retires; known are retries"),
        ({"retries": -1}, "^The policy of 'flaky': retries is -1; give 0 or more$"),
        ({"wait_seconds": -1.0}, "wait_seconds is -1.0; give 0 or more"),
        ({"wait_seconds": float("nan")}, "wait_seconds is nan; give 0 or more"),
        ({"retries": "2"}, "retries is '2', not a whole number"),
        ({"retries": 1.5}, "retries is 1.5, not a whole number"),
        ({"retries": True}, "retries is True, not a whole number"),
        ({"wait_seconds": "1"}, "wait_seconds is '1', not a number"),
        ({"priority": "high"}, "priority is 'high', not a number"),
        ({"retry_on": 3}, "retry_on is 3; give exceptions"),
        ({"resources": "GPU"}, "resources is 'GPU'; give a dict"),
        ({"resources": {"GPU": "1"}}, "resources is {'GPU': '1'}; give a dict"),
        ({"workers": 3}, "workers is 3; give a name or a list of names"),
        (
            {"aa": {"cleaner": {"retries": 2}}},
            "unknown fields: aa;.*'flaky.aa.cleaner'.*`kedro run --config`",
        ),
        ({"retries": 1, "aa": {"workers": "w"}}, "unknown fields: aa;.*'flaky.aa'.*`kedro run --config`"),
        (3, "The policy of 'flaky' is 3; give a NodePolicy, or a dict of its fields"),
        ({"retry_on": "OSErorr"}, "'OSErorr', which is not an exception"),
        ({"retry_on": [int]}, "which is not an exception"),
        ({"retry_on": "json.dumps"}, "which is not an exception"),
        ({"retry_on": "json.Absent"}, "'json.Absent', which is not an exception"),
        (
            {"retry_on": ["absent_package.Error"]},
            "module cannot be imported: No module named 'absent_package'",
        ),
        ({"retry_on": ["json.absent:Error"]}, "module cannot be imported: No module named 'json.absent'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_when_the_runner_is_made(policy, message):
    with pytest.raises(RunnerError, match=message):
        SequentialRunner(policies={"flaky": policy})


@pytest.mark.parametrize("policies", [5, "flaky", [NodePolicy()]])
def test_policies_without_names_are_refused(policies):
    with pytest.raises(RunnerError, match="give a dict: the name of a node, a namespace or a tag"):
        SequentialRunner(policies=policies)


def test_an_exception_is_found_by_its_name():
    """In YAML and on a command line there are no classes."""
    policy = NodePolicy(retry_on=["OSError", "json.JSONDecodeError"])

    assert policy.errors == (OSError, json.JSONDecodeError)


# Placement


def where():
    worker = get_worker()
    return worker.name


@pytest.fixture(scope="module")
def uneven():
    """A cluster of which one worker has a turbine."""
    with (
        LocalCluster(
            processes=False,
            n_workers=1,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            resources={"turbine": 1},
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_resources_are_taken_of_the_worker(uneven, diary):
    """One heavy node at a time, although there are threads for more."""
    nodes = pipeline(
        [node(lambda: 1, None, f"out{number}", name=f"heavy{number}", tags="heavy") for number in range(3)]
    )
    runner = DaskRunner(uneven, policies={"heavy": {"resources": {"turbine": 1}}})

    def seen(dask_scheduler):
        return {
            str(key): dict(task.resource_restrictions or {}) for key, task in dask_scheduler.tasks.items()
        }

    result = runner.run(nodes, DataCatalog())
    restrictions = uneven.run_on_scheduler(seen)

    assert {name: dataset.load() for name, dataset in result.items()} == {"out0": 1, "out1": 1, "out2": 1}
    assert [given for key, given in restrictions.items() if "heavy" in key] == [{"turbine": 1}] * 3


def test_a_node_runs_on_its_workers_only(client):
    chosen = min(str(worker["name"]) for worker in client.scheduler_info()["workers"].values())
    nodes = pipeline(
        [node(where, None, f"out{number}", name=f"here{number}", tags="here") for number in range(6)]
    )

    result = DaskRunner(client, policies={"here": {"workers": chosen}}).run(nodes, DataCatalog())

    assert {str(dataset.load()) for dataset in result.values()} == {chosen}


def test_priority_comes_before_the_order_of_the_graph(uneven, diary):
    nodes = pipeline(
        [
            node(
                lambda number=number: diary.note_and_return(str(number), 1),
                None,
                f"out{number}",
                name=f"n{number}",
            )
            for number in range(8)
        ]
    )

    DaskRunner(uneven, policies={"n7": {"priority": 10}}).run(nodes, DataCatalog())

    assert diary.kinds().index("7") <= 1


def test_a_runner_without_workers_says_once_what_it_ignores(caplog):
    nodes = pipeline([node(lambda: 1, None, "a", name="train"), node(lambda: 1, None, "b", name="score")])
    runner = ThreadRunner(
        policies={"train": {"resources": {"GPU": 1}, "priority": 3}, "score": {"workers": "gpu-1"}}
    )

    with caplog.at_level(logging.WARNING):
        runner.run(nodes, DataCatalog())

    (record,) = [
        record for record in caplog.records if "ThreadRunner ignores these policies" in record.getMessage()
    ]
    assert "score: workers; train: resources, priority" in record.getMessage()


def test_the_resources_of_nodes_are_known_before_a_run():
    policies = {"a": NodePolicy(resources={"GPU": 1}), "b": NodePolicy(retries=1)}

    assert resources_by_node(policies) == {"a": {"GPU": 1}}


class Hiccup(DiaryDataset):
    """A store that stumbles at the second load."""

    def load(self):
        data = super().load()
        if len(self.diary.notes(f"load {self.name}")) == 2:
            raise OSError("the network is slow")
        return data


def test_a_fresh_load_that_fails_is_an_attempt_like_others(new_runner, diary):
    rows = Hiccup("rows", diary)
    rows.save([])
    runner = new_runner(policies={"flaky": NodePolicy(retries=2)})

    result = runner.run(flaky_pipeline(diary, failures=1), DataCatalog({"rows": rows}))

    assert result["calls"].load() == 2
