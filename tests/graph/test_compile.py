"""Compiling: which tasks a pipeline becomes, what they wait for, and what they are called."""

from __future__ import annotations

import functools
import itertools
import re

import dask
import pytest
import zict
from dask.tokenize import tokenize
from dask.utils import key_split

from penstock.errors import InvalidNodeError, MissingInputError
from penstock.graph import compile_pipeline
from penstock.graph.keys import task_text
from penstock.hooks import Hooks, create_hook_manager
from penstock.io import CachedDataset, DataCatalog, MemoryDataset, TextDataset
from penstock.pipeline import node, pipeline
from penstock.runner import SequentialRunner
from penstock.runner.processes.backend import ProcessBackend
from penstock.testing import Diary, DiaryDataset, ListDataset, Recorder, add_one

pytestmark = pytest.mark.smoke


KEY = re.compile(r"\((?P<name>[\w.:@]+)-(?P<run>[0-9a-f]{8})-(?P<index>\d+)\)")


@pytest.fixture
def stored(tmp_path):
    """A catalog with stored datasets of these names, each holding 1."""
    diary = Diary(tmp_path / "diary.jsonl")

    def make(names="", **others):
        catalog = DataCatalog({name: DiaryDataset(name, diary) for name in names} | others)
        for name in names:
            catalog.save(name, 1)
        return catalog

    return make


def waits(plan):
    """What each task waits for, both by their words in the key."""
    return {
        key_split(key): sorted(key_split(other) for other in task.dependencies)
        for key, task in plan.graph.items()
    }


def chain(names):
    return pipeline([node(add_one, x, y, name=f"{x}{y}") for x, y in itertools.pairwise(names)])


class Sealed(MemoryDataset):
    """A dataset that must not be pickled."""

    def __reduce__(self):
        raise AssertionError("looked into")

    def __dask_tokenize__(self):
        raise AssertionError("looked into")


def test_a_graph_is_hashed_without_a_look_at_what_its_tasks_hold(stored):
    """`Client.get` hashes each graph; function, node and datasets of each task would take longer than all the rest."""
    backend = ProcessBackend()
    catalog = stored("b", a=Sealed(1), large=MemoryDataset("x" * 200_000))
    pipe = pipeline(
        [node(add_one, "a", "b", name="one"), node(lambda b, large: b, ["b", "large"], "c", name="two")]
    )

    plans = [compile_pipeline(pipe, catalog, backend=backend) for _ in range(2)]

    assert tokenize(plans[0].graph) == tokenize(plans[0].graph)
    assert tokenize(plans[0].graph) != tokenize(plans[1].graph)


def test_a_chain_in_memory_is_one_task_a_node(stored):
    plan = compile_pipeline(chain("abc"), stored(a=1))

    assert waits(plan) == {"ab": [], "bc": ["ab"]}


def test_a_chain_of_stored_datasets_loads_after_it_saved(stored):
    plan = compile_pipeline(chain("abc"), stored("abc"))

    assert waits(plan) == {
        "load:a": [],
        "ab": ["load:a"],
        "save:b": ["ab"],
        "load:b": ["save:b"],
        "bc": ["load:b", "save:b"],
        "save:c": ["bc"],
    }


def test_each_output_of_several_in_memory_is_picked(stored):
    """So each is freed when its own last reader is done."""
    nodes = pipeline(
        [
            node(lambda: (1, 2, 3), None, ["x", "y", "z"], name="make"),
            node(add_one, "x", "end", name="use"),
        ]
    )

    plan = compile_pipeline(nodes, stored("z"))

    assert waits(plan) == {
        "make": [],
        "pick:x": ["make"],
        "pick:y": ["make"],
        "save:z": ["make"],
        "use": ["pick:x", "save:z"],
    }
    assert list(plan.outputs) == ["end", "y"]


def test_each_reader_of_a_stored_dataset_has_a_load_of_its_own(stored):
    nodes = pipeline([node(add_one, "a", name, name=name) for name in "xy"])

    plan = compile_pipeline(nodes, stored("a"))

    loads = [key for key, task in plan.tasks.items() if task.kind == "load"]
    assert len(loads) == 2
    assert {plan.tasks[key].node for key in loads} == {"x", "y"}


def test_a_cached_dataset_has_one_load_for_all(stored):
    catalog = stored("a")
    catalog = DataCatalog({"a": CachedDataset(catalog["a"])})
    nodes = pipeline([node(add_one, "a", name, name=name) for name in "xy"])

    assert waits(compile_pipeline(nodes, catalog)) == {"load:a": [], "x": ["load:a"], "y": ["load:a"]}


def test_a_cached_output_is_saved_and_handed_on(stored):
    cached = CachedDataset(stored("b")["b"])

    plan = compile_pipeline(chain("abc"), DataCatalog({"a": 1, "b": cached}))

    assert waits(plan) == {"ab": [], "save:b": ["ab"], "bc": ["ab", "save:b"]}


def test_a_confirmation_comes_after_the_saves_and_before_the_readers(stored):
    nodes = pipeline(
        [node(lambda: 1, None, "a", name="make", confirms="a"), node(add_one, "a", "b", name="use")]
    )

    assert waits(compile_pipeline(nodes, stored("a"))) == {
        "make": [],
        "save:a": ["make"],
        "confirm:make": ["save:a"],
        "load:a": ["confirm:make"],
        "use": ["confirm:make", "load:a"],
    }


def test_generators_and_async_nodes_save_inside_their_own_task(stored):
    def stream():
        yield 1

    streamed = compile_pipeline(pipeline([node(stream, None, "a", name="stream")]), stored("a"))
    at_once = compile_pipeline(chain("abc"), stored("abc"), is_async=True)

    assert waits(streamed) == {"stream": []}
    assert waits(at_once) == {"ab": [], "bc": ["ab"]}


def test_a_reader_waits_for_all_that_its_parents_save(stored):
    nodes = pipeline(
        [
            node(lambda: (1, 2), None, ["kept", "stored"], name="parent"),
            node(add_one, "kept", "end", name="child"),
        ]
    )
    catalog = DataCatalog({"stored": stored("a")["a"]})

    assert waits(compile_pipeline(nodes, catalog))["child"] == ["pick:kept", "save:stored"]


def test_keys_tell_the_node_on_the_dashboard_and_are_new_in_every_run(stored):
    """Bare keys made a second run return the first run's data."""
    nodes = pipeline([node(add_one, "a", "b", name="train-v2", namespace="data.science")])

    first, second = (compile_pipeline(nodes, stored("a")) for _ in range(2))

    for plan in (first, second):
        matches = [KEY.fullmatch(key) for key in plan.graph]
        assert [match["name"] for match in matches] == ["load:a", "train_v2@data.science"]
        assert len({match["run"] for match in matches}) == 1
        assert len({match["index"] for match in matches}) == 2
    assert not first.graph.keys() & second.graph.keys()


def test_long_names_make_keys_that_can_be_spilled(stored):
    nodes = pipeline([node(add_one, "a" * 400, "b" * 400, name="n" * 400)])

    plan = compile_pipeline(nodes, DataCatalog({"a" * 400: 1}))

    assert all(len(key) < 100 for key in plan.graph)


# Wide pipelines share names


def prefixes(plan):
    return {key_split(key) for key in plan.graph}


def wide(count, *functions):
    """Nodes that each load and save, side by side; they take turns with the functions."""
    return pipeline(
        [
            node(functions[k % len(functions)], f"in_{k}", f"out_{k}", name=f"n-{k}", namespace="ns")
            for k in range(count)
        ]
    )


def stored_for(pipe):
    return DataCatalog({name: TextDataset(f"{name}.txt") for name in pipe.datasets()})


class Scaler:
    def __call__(self, data):
        return data


def test_a_wide_pipeline_has_few_prefixes_and_each_key_its_nodes_name():
    """Dask's scheduler goes through all prefixes of a worker at each transition: 4,000 nodes of own names cost 10 ms each."""
    pipe = wide(300, add_one, lambda x: x, functools.partial(str), Scaler())

    plan = compile_pipeline(pipe, stored_for(pipe))

    assert prefixes(plan) == {"add_one", "lambda", "str", "Scaler", "load:", "save:"}
    for key, task in plan.tasks.items():
        number = re.search(r"\d+$", task.dataset or task.node)[0]
        name = {"call": f"n_{number}@ns", "load": f"in_{number}", "save": f"out_{number}"}[task.kind]
        assert re.fullmatch(rf"\([\w:]+-[0-9a-f]{{8}}-{name}-\d+\)", key)
        assert task_text(key) == (f"node ns.n_{number}" if task.kind == "call" else f"{task.kind}:{name}")


@pytest.mark.parametrize(("nodes", "is_shared"), [(66, False), (67, True), (300, True)])
def test_up_to_200_prefixes_each_task_keeps_its_name(nodes, is_shared):
    """A node, its load and its save: 198 and 201 prefixes."""
    pipe = wide(nodes, add_one)

    found = prefixes(compile_pipeline(pipe, stored_for(pipe)))

    assert len(found) == (3 if is_shared else 3 * nodes)
    assert ("n_0@ns" in found) is not is_shared


@pytest.mark.parametrize(("nodes", "count"), [(200, 200), (201, 1)])
def test_nodes_in_memory_count_as_one_prefix_each(nodes, count):
    pipe = pipeline([node(add_one, "a", f"b{k}", name=f"n{k}") for k in range(nodes)])

    assert len(prefixes(compile_pipeline(pipe, DataCatalog({"a": 1})))) == count


def test_tasks_that_pick_and_confirm_share_names_too(stored):
    names = [f"x{k}" for k in range(300)]
    pipe = pipeline([node(lambda: names, None, names, name="make", confirms="a"), node(len, "a", "n")])

    assert prefixes(compile_pipeline(pipe, stored("a"))) == {"lambda", "len", "pick:", "confirm:", "load:"}


def test_the_rarest_of_too_many_functions_share_the_name_node():
    functions = [named(f"f{k}") for k in range(400)]
    pipe = wide(900, *functions, *[add_one] * 100)

    found = prefixes(compile_pipeline(pipe, stored_for(pipe)))

    assert {"add_one", "f0", "node", "load:", "save:"} < found
    assert len(found) <= 200


def named(name):
    def function(data):
        return data

    function.__name__ = name
    return function


@pytest.mark.parametrize("letter", "aя語𐍈")
@pytest.mark.parametrize("nodes", [1, 300])
def test_keys_of_names_in_any_script_can_be_spilled(tmp_path, letter, nodes):
    """Dask writes a result to a file that has the quoted key as its name: nine characters for a Chinese one."""
    pipe = pipeline(
        [node(named(letter * 99), "a", letter * 99 + str(k), name=letter * 99 + str(k)) for k in range(nodes)]
    )
    spilled = zict.File(tmp_path)

    for key in compile_pipeline(pipe, DataCatalog({"a": 1})).graph:
        spilled[key] = b""

    assert len(spilled) == nodes


def test_similar_names_do_not_meet():
    nodes = pipeline([node(lambda: 1, None, "a.b", name="x-y", namespace="a")]) + pipeline(
        [node(lambda: 2, None, "c", name="x_y@a".replace("@", "."))]
    )

    plan = compile_pipeline(nodes, DataCatalog())

    assert dict(zip(plan.outputs, dask.get(plan.graph, plan.keys), strict=True)) == {"a.b": 1, "c": 2}


def test_compiling_loads_registers_and_runs_nothing(tmp_path):
    diary = Diary(tmp_path / "diary.jsonl")
    catalog = DataCatalog({"a": DiaryDataset("a", diary)})
    nodes = pipeline([node(lambda a: diary.note("ran"), "a", "b", name="run"), node(add_one, "b", "c")])

    compile_pipeline(nodes, catalog)

    assert diary.kinds() == []
    assert catalog.keys() == ["a"]


def test_missing_inputs_and_generators_are_refused(stored):
    with pytest.raises(MissingInputError, match="'a'"):
        compile_pipeline(chain("ab"), DataCatalog())
    with pytest.raises(InvalidNodeError, match="stream"):
        compile_pipeline(
            pipeline([node(lambda a: (yield a), "a", "b", name="stream")]), stored(a=1), is_async=True
        )


def test_without_hooks_tasks_carry_none(stored, tmp_path):
    manager = create_hook_manager([Recorder(Diary(tmp_path / "diary.jsonl"))])

    bare = compile_pipeline(chain("ab"), stored(a=1))
    hooked = compile_pipeline(chain("ab"), stored(a=1), hooks=Hooks(manager))

    assert [task.kwargs for task in bare.graph.values()] == [{}]
    assert [list(task.kwargs) for task in hooked.graph.values()] == [["hooks"]]


def test_hooks_that_travel_once_are_not_asked_for(stored, tmp_path):
    """On a cluster a key that is asked for and has readers that are not makes Dask's scheduler drop the client on a cancel."""
    hooks = Hooks(create_hook_manager([Recorder(Diary(tmp_path / "diary"))]))

    plan = compile_pipeline(
        pipeline([node(add_one, "a", "b", name="n")]),
        DataCatalog({"a": 1}),
        hooks=hooks,
        backend=ProcessBackend(),
    )

    assert [plan.tasks[key].kind for key in plan.graph] == ["data", "call"]
    assert [plan.tasks[key].kind for key in plan.keys] == ["call"]


def test_dask_alone_runs_the_graph(stored):
    """The graph is a plain dict: any scheduler of Dask takes it, now and later."""
    nodes = chain("abcd") + pipeline([node(add_one, "c", "list", name="to_list")])
    plan = compile_pipeline(nodes, stored("b", a=1, list=ListDataset()))

    values = dict(zip(plan.outputs, dask.get(plan.graph, plan.keys), strict=False))

    result = SequentialRunner().run(nodes, stored("b", a=1, list=ListDataset()))
    assert values["d"] == result["d"].load() == 4
    assert values["list"].dataset.load() == result["list"].load() == [4]
    assert isinstance(plan.graph, dict)


@pytest.mark.parametrize("length", [0, 1, 3000])
def test_pipelines_of_any_length_compile(length):
    """No recursion over the user's graph."""
    nodes = pipeline([node(add_one, f"d{k}", f"d{k + 1}", name=f"n{k}") for k in range(length)])

    plan = compile_pipeline(nodes, DataCatalog({"d0": 0}))

    assert len(plan.graph) == length
    assert list(dask.get(plan.graph, plan.keys)) == ([length] if length else [])


# As text


def test_a_plan_prints_what_each_node_loads_saves_and_keeps(stored):
    nodes = chain("abcd")

    text = str(compile_pipeline(nodes, stored("ab", c=MemoryDataset())))

    assert "3 nodes" in text
    lines = text.splitlines()
    assert [line for line in lines if "ab:" in line] == ["  1. ab: loads a; saves b"]
    assert [line for line in lines if "bc:" in line] == ["  2. bc: loads b; keeps c"]
    assert [line for line in lines if "cd:" in line] == ["  3. cd: takes c; keeps d"]
    assert text.endswith("d")


def test_a_long_plan_fits_on_a_screen():
    """Whoever prints the plan of 3,000 nodes wants to read it."""
    nodes = pipeline([node(add_one, "a", f"out_{k:04}", name=f"n{k:04}") for k in range(1000)])

    lines = str(compile_pipeline(nodes, DataCatalog({"a": 1}))).splitlines()

    assert len(lines) < 60
    assert any("960 more" in line for line in lines)
    assert max(map(len, lines)) < 250
