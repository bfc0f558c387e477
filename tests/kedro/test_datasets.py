"""The datasets that projects use, saved by one process and loaded by another: those of `kedro-datasets`, in both kinds of catalog."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import threading
import traceback
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import cloudpickle
import fsspec
import pytest
from kedro.io import (
    AbstractDataset,
    DataCatalog,
    DatasetError,
    MemoryDataset,
    SharedMemoryDataCatalog,
    Version,
)
from kedro.io.cached_dataset import CachedDataset
from kedro.pipeline import node, pipeline
from kedro.runner import AbstractRunner
from rich.console import Console

import penstock
import penstock.kedro
from penstock.testing.logs import KeepsCatalog

pandas = pytest.importorskip("pandas")
pytest.importorskip("kedro_datasets")

from kedro_datasets.json import JSONDataset  # noqa: E402 - after the skip
from kedro_datasets.pandas import CSVDataset, ParquetDataset  # noqa: E402
from kedro_datasets.partitions import IncrementalDataset, PartitionedDataset  # noqa: E402
from kedro_datasets.pickle import PickleDataset  # noqa: E402

RUNNERS = [
    "SequentialRunner",
    "ThreadRunner",
    "ParallelRunner",
    pytest.param("DaskRunner", marks=pytest.mark.cluster),
]


@pytest.fixture(params=RUNNERS)
def runner(request):
    cls = getattr(penstock.kedro, request.param)
    if request.param == "DaskRunner":
        return cls(request.getfixturevalue("client"))
    if request.param == "ParallelRunner":
        return request.getfixturevalue("processes")
    return cls() if request.param == "SequentialRunner" else cls(max_workers=2)


@pytest.fixture(params=[DataCatalog, penstock.DataCatalog], ids=["kedros", "ours"])
def catalog_class(request):
    return request.param


def frame():
    return pandas.DataFrame({"carrier": ["UA", "DL"], "late": [3, 4]})


def doubled(table):
    return table.assign(late=table["late"] * 2)


def total(table):
    return int(table["late"].sum())


def parts(table):
    return {row.carrier: pandas.DataFrame({"late": [row.late]}) for row in table.itertuples()}


def joined(partitions):
    """Partitions come as functions that load them."""
    return {"total": sum(int(load()["late"].sum()) for load in partitions.values())}


def test_tables_go_through_every_kind_of_file(runner, catalog_class, tmp_path):
    tmp_path.joinpath("raw.csv").write_text("carrier,late\nUA,3\nDL,4\n")
    catalog = catalog_class(
        {
            "raw": CSVDataset(filepath=str(tmp_path / "raw.csv")),
            "double": ParquetDataset(filepath=str(tmp_path / "double.parquet")),
            "parts": PartitionedDataset(
                path=str(tmp_path / "parts"),
                dataset={"type": "pandas.CSVDataset", "save_args": {"index": False}},
                filename_suffix=".csv",
            ),
            "model": PickleDataset(filepath=str(tmp_path / "model.pkl"), backend="cloudpickle"),
            "report": JSONDataset(filepath=str(tmp_path / "report.json")),
        }
    )
    pipe = pipeline(
        [
            node(doubled, "raw", "double", name="double"),
            node(parts, "double", "parts", name="split"),
            node(lambda table: lambda: total(table), "double", "model", name="fit"),
            node(joined, "parts", "report", name="join"),
            node(
                lambda model, report: model() == report["total"], ["model", "report"], "same", name="compare"
            ),
        ]
    )

    result = runner.run(pipe, catalog)

    assert result["same"].load() is True
    assert json.loads(tmp_path.joinpath("report.json").read_text()) == {"total": 14}
    assert sorted(path.name for path in tmp_path.joinpath("parts").iterdir()) == ["DL.csv", "UA.csv"]


def versioned(path, save="2026-01-02T00.00.00.000Z"):
    return JSONDataset(filepath=str(path / "kept.json"), version=Version(None, save))


def test_a_consumer_loads_the_version_that_this_run_saved(runner, tmp_path):
    """The driver, and each worker, may have seen an older one: what they remember is not what they load."""
    versioned(tmp_path, "2026-01-01T00.00.00.000Z").save("old")
    kept = versioned(tmp_path)
    catalog = DataCatalog({"kept": kept})
    pipe = pipeline(
        [node(lambda: "new", None, "kept", name="save"), node(lambda kept: kept, "kept", "seen", name="load")]
    )
    assert kept.load() == "old"

    result = runner.run(pipe, catalog)

    assert result["seen"].load() == "new"
    assert kept.load() == "new"
    assert len(list(tmp_path.joinpath("kept.json").iterdir())) == 2


def test_a_cached_versioned_dataset_gives_what_this_run_saved(runner, tmp_path):
    """Kedro's `CachedDataset` is marked for one process, and comes out of a pickle with a bare object in its cache."""
    versioned(tmp_path, "2026-01-01T00.00.00.000Z").save("old")
    cached = CachedDataset(versioned(tmp_path))
    catalog = DataCatalog(
        {"kept": cached, "free": CachedDataset(JSONDataset(filepath=str(tmp_path / "f.json")))}
    )
    catalog.save("free", "free")
    pipe = pipeline(
        [
            node(lambda free: f"new {free}", "free", "kept", name="save"),
            node(lambda kept, free: [kept, free], ["kept", "free"], "seen", name="load"),
        ]
    )
    assert cached.load() == "old"

    result = runner.run(pipe, catalog)

    assert result["seen"].load() == ["new free", "free"]
    assert cached.load() == "new free"


@pytest.mark.parametrize("name", ["ParallelRunner", pytest.param("DaskRunner", marks=pytest.mark.cluster)])
def test_a_worker_that_remembers_a_listing_finds_new_partitions(name, s3, request):
    """A worker keeps its connection to a store, and what it knows of it, for longer than a run."""
    cls = getattr(penstock.kedro, name)
    runner = cls(request.getfixturevalue("client")) if name == "DaskRunner" else cls(2)
    place, options = f"{s3[0]}/{name}", s3[1]
    partitioned = {
        "path": place,
        "dataset": "json.JSONDataset",
        "filename_suffix": ".json",
        "credentials": options,
    }
    count = pipeline([node(lambda parts: [*parts], "parts", "names", name="count")])
    put(f"{place}/a.json", options)

    seen = [
        runner.run(count, DataCatalog({"parts": PartitionedDataset(**partitioned)}))["names"].load()
        for _ in range(4)
    ]
    put(f"{place}/b.json", options)
    new = [
        runner.run(count, DataCatalog({"parts": PartitionedDataset(**partitioned)}))["names"].load()
        for _ in range(4)
    ]

    assert seen == [["a"]] * 4
    assert new == [["a", "b"]] * 4


def put(place, options):
    """A new file, of which no connection in this process knows."""
    store = fsspec.filesystem("s3", **options, skip_instance_cache=True)
    with store.open(place, "wb") as file:
        file.write(b"1")


SECRET = "not-for-eyes"


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """A bucket on a local S3 server, and the options to reach it."""
    server = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    options = {"key": "user", "secret": SECRET, "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
    fsspec.filesystem("s3", **options, skip_instance_cache=True).mkdir("bucket")
    yield "s3://bucket", options
    moto.stop()


def test_a_file_that_appears_while_the_node_works_is_read_by_the_next_run(runner, catalog_class, tmp_path):
    def read(files):
        (tmp_path / "f9").write_text("9")
        return sorted(files)

    (tmp_path / "f1").write_text("1")
    (tmp_path / "f2").write_text("2")
    nodes = pipeline([node(read, "inbox", "names", name="read", confirms="inbox")])

    def run():
        inbox = IncrementalDataset(path=str(tmp_path), dataset={"type": "text.TextDataset"})
        return runner.run(nodes, catalog_class({"inbox": inbox}))["names"].load()

    assert [run(), run(), run()] == [["f1", "f2"], ["f9"], []]


def test_versions_and_partitions_live_on_s3_and_credentials_show_nowhere(runner, s3, caplog):
    """The credentials go with the dataset that needs them, to the process that loads or saves it, and appear in no text."""
    place, options = s3
    name = type(runner).__name__
    catalog = DataCatalog(
        {
            "kept": JSONDataset(
                filepath=f"{place}/{name}/kept.json",
                version=Version(None, "2026-01-02T00.00.00.000Z"),
                credentials=options,
            ),
            "table": ParquetDataset(filepath=f"{place}/{name}/table.parquet", credentials=options),
        }
    )
    pipe = pipeline(
        [
            node(frame, None, "table", name="frame"),
            node(total, "table", "kept", name="total"),
            node(lambda kept: kept + 1, "kept", "more", name="more"),
        ]
    )
    plan = runner.plan(pipe, catalog)

    result = runner.run(pipe, catalog)

    assert result["more"].load() == 8
    texts = " ".join(
        [
            caplog.text,
            str(plan),
            *plan.graph,
            *map(repr, plan.graph.values()),
            repr(runner),
            repr(result.records),
        ]
    )
    assert SECRET not in texts


def pages(start):
    """The texts of Dask's pages that are linked from this one, by their addresses."""
    found, waiting = {}, [start]
    while waiting and len(found) < 60:
        address = waiting.pop(0)
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                found[address] = answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            # A task that the scheduler has forgotten since it was linked.
            if error.code != 404:
                raise
            found[address] = ""
        links = re.findall(r'href="([^"#]*\.html)"', found[address])
        waiting += {urllib.parse.urljoin(address, link) for link in links} - {*found, *waiting}
    return found


def test_no_page_of_the_dashboard_and_no_error_shows_credentials(client, s3):
    """Seen by a node in the middle of a run, when a task with credentials is done and another one is waiting."""
    place, options = s3
    catalog = DataCatalog(
        {
            name: JSONDataset(filepath=f"{place}/dashboard/{name}.json", credentials=options)
            for name in ("free", "kept", "absent")
        }
    )
    catalog.save("free", 1)
    address = client.dashboard_link.removesuffix("/status") + "/info/main/workers.html"
    look = node(lambda free: [pages(address), free], "free", ["seen", "kept"], name="look")
    pipe = pipeline([look, node(lambda kept, absent: kept, ["kept", "absent"], "end", name="fail")])
    runner = penstock.kedro.DaskRunner(client)

    seen = runner.run(pipeline([look]), catalog)["seen"].load()
    with pytest.raises(DatasetError) as caught:
        runner.run(pipe, catalog)

    assert [page for page in seen if "/info/task/" in page and "look" in page]
    assert [page for page, text in seen.items() if SECRET in text] == []
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)


def test_what_one_task_needs_is_all_that_travels_with_it(s3):
    """Credentials are in the tasks that load or save that dataset, and in no other."""
    place, options = s3
    secret = JSONDataset(filepath=f"{place}/secret.json", credentials=options)
    catalog = DataCatalog({"a": MemoryDataset(1), "b": secret})
    pipe = pipeline(
        [
            node(lambda a: a, "a", "m", name="make"),
            node(lambda m: m, "m", "b", name="keep"),
            node(lambda b: b, "b", "c", name="use"),
        ]
    )

    plan = penstock.kedro.ParallelRunner(2).plan(pipe, catalog)

    with_secret = {
        (plan.tasks[key].kind, plan.tasks[key].node)
        for key, task in plan.graph.items()
        if SECRET.encode() in cloudpickle.dumps(task)
    }
    assert with_secret == {("save", "keep"), ("load", "use")}


def test_factories_and_lazy_entries_are_made_by_the_catalog(runner, tmp_path):
    """A catch-all pattern, an entry that was not asked for yet, and a name that no entry fits."""
    catalog = DataCatalog.from_config(
        {
            "{name}_json": {"type": "json.JSONDataset", "filepath": f"{tmp_path}/{{name}}.json"},
            "lazy": {"type": "json.JSONDataset", "filepath": f"{tmp_path}/lazy.json"},
            "{anything}": {"type": "pickle.PickleDataset", "filepath": f"{tmp_path}/{{anything}}.pkl"},
        }
    )
    tmp_path.joinpath("lazy.json").write_text("20")
    pipe = pipeline(
        [
            node(lambda lazy: lazy + 1, "lazy", "one_json", name="one"),
            node(lambda one: one + 1, "one_json", "two", name="two"),
            node(lambda two: two * 2, "two", "end", name="end"),
        ]
    )

    result = runner.run(pipe, catalog)

    assert result["end"].load() == 44
    assert {path.name for path in tmp_path.iterdir()} == {"lazy.json", "one.json", "two.pkl", "end.pkl"}


def test_the_catalog_of_kedros_own_processes_works_without_its_manager(runner):
    """A session makes a `SharedMemoryDataCatalog` for Kedro's `ParallelRunner`; what it hands out waits for a manager."""
    catalog = SharedMemoryDataCatalog({"one": MemoryDataset(1), "declared": MemoryDataset()})
    pipe = pipeline(
        [
            node(lambda one: one + 1, "one", "declared", name="two"),
            node(lambda two: two + 1, "declared", "undeclared", name="three"),
            node(lambda three: [three], "undeclared", "end", name="four"),
        ]
    )

    results = [runner.run(pipe, catalog)["end"].load() for _ in range(2)]

    assert results == [[3], [3]]
    assert catalog.load("end") == [3]


def positive(data):
    if data <= 0:
        raise ValueError(f"{data} is not positive")
    return data


def test_the_validators_of_a_catalog_see_what_is_saved_and_what_is_handed_over(runner, tmp_path):
    """From 1.7 on: also where the data stays in memory and no catalog is asked to load or save it."""
    validation = pytest.importorskip("kedro.validation")
    checked = {"validator": {"class": f"{__name__}.positive"}}

    def run(number, name):
        entry = {"type": "MemoryDataset", **checked}
        if name == "file":
            entry = {"type": "json.JSONDataset", "filepath": f"{tmp_path}/file.json", **checked}
        catalog = DataCatalog.from_config({name: entry})
        catalog["number"] = number
        pipe = pipeline(
            [
                node(lambda number: number, "number", name, name="make"),
                node(lambda x: x + 1, name, "more", name="use"),
            ]
        )
        return runner.run(pipe, catalog)["more"].load()

    for name in ("memory", "file"):
        assert run(1, name) == 2
        with pytest.raises(validation.DataValidationError, match="-1 is not positive"):
            run(-1, name)


@pytest.fixture(params=RUNNERS)
def plain_runner(request):
    """A runner as scripts have it, which use Kedro's catalog without a project."""
    cls = getattr(penstock, request.param)
    if request.param == "DaskRunner":
        return cls(request.getfixturevalue("client"))
    return cls() if request.param == "SequentialRunner" else cls(max_workers=2)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        pytest.param(lambda a: 1, r"^a: ", id="empty"),
        pytest.param(lambda: None, r"^b: ", id="none"),
    ],
)
def test_errors_of_datasets_are_kedros_and_ours(plain_runner, function, message):
    """Also of an empty memory dataset, which comes out of a pickle with a bare object that nodes took for data."""
    inputs = list(inspect.signature(function).parameters)
    pipe = pipeline([node(function, inputs or None, "b", name="make")])

    with pytest.raises(DatasetError, match=message) as caught:
        plain_runner.run(pipe, DataCatalog({"a": MemoryDataset()}))

    assert isinstance(caught.value, penstock.DatasetError)


def test_a_confirmation_that_cannot_be_is_kedros_error(plain_runner):
    pipe = pipeline([node(lambda a: a, "a", "b", name="n", confirms="a")])

    with pytest.raises(DatasetError, match="a MemoryDataset has no method `confirm`"):
        plain_runner.run(pipe, DataCatalog({"a": MemoryDataset(1)}))


def test_errors_of_our_datasets_are_kedros_as_well(plain_runner, tmp_path):
    """A catalog of Kedro's may hold them: `type: penstock.io.JSONDataset`."""
    catalog = DataCatalog({"a": penstock.JSONDataset(str(tmp_path / "a.json"))})

    with pytest.raises(DatasetError, match=r"a\.json"):
        catalog.load("a")
    with pytest.raises(DatasetError, match=r"a\.json"):
        plain_runner.run(pipeline([node(lambda a: a, "a", "b", name="n")]), catalog)


def test_kedros_cached_dataset_does_not_tell_that_it_is_pickled(plain_runner, caplog):
    """Plugins that keep the catalog are sent several times, and a cluster sends them more often."""
    catalog = DataCatalog({"a": CachedDataset(MemoryDataset(1))})
    plugin = KeepsCatalog(catalog)

    plain_runner.run(
        pipeline([node(lambda a: a, "a", "b", name="n")]), catalog, penstock.create_hook_manager([plugin])
    )
    told = "pickle" in caplog.text
    cloudpickle.dumps(plugin)

    assert not told
    assert "clearing cache to pickle" in caplog.text, "a user's own pickle is Kedro's affair"


class Tracked(AbstractDataset):
    """Stands for a dataset of kedro-mlflow: it saves into the run that a hook has opened in this thread."""

    def __init__(self, path):
        self.path = path

    def load(self):
        return json.loads(self.path.read_text())

    def save(self, data):
        self.path.write_text(json.dumps([data, where(None)]))

    def _describe(self):
        return {"path": self.path}


Tracked.__module__ = "kedro_mlflow.io"


def where(_):
    return [threading.get_ident(), os.getpid()]


def test_a_dataset_of_mlflow_is_saved_where_its_node_ran(plain_runner, tmp_path):
    """A task of its own might save it in a process or thread in which no node has run, and no run of mlflow is open."""
    names = [f"place{number}" for number in range(4)]
    catalog = DataCatalog({name: Tracked(tmp_path / name) for name in names})
    pipe = pipeline([node(where, "a", name, name=name) for name in names])
    catalog["a"] = 1

    plan = plain_runner.plan(pipe, catalog)
    plain_runner.run(pipe, catalog)

    assert {task.kind for task in plan.tasks.values()} <= {"call", "data"}
    for name in names:
        called_at, saved_at = catalog.load(name)
        assert called_at == saved_at


class Locked(MemoryDataset):
    def __init__(self):
        super().__init__(1)
        self.lock = threading.Lock()


@pytest.mark.parametrize("name", ["ParallelRunner"])
def test_what_cannot_travel_is_named_before_anything_runs(name, tmp_path):
    pipe = pipeline([node(lambda a: Path(tmp_path / "ran").touch(), "a", None, name="n")])

    with pytest.raises(AttributeError, match=r"dataset 'a'.*'lock'"):
        getattr(penstock.kedro, name)(2).run(pipe, DataCatalog({"a": Locked()}))

    assert not (tmp_path / "ran").exists()


def test_three_hundred_parameters_make_no_tasks_of_their_own(tmp_path):
    names = [f"params:p{number}" for number in range(300)]
    values = dict.fromkeys(names, 1)
    catalog = DataCatalog(
        {name: MemoryDataset(value) for name, value in {**values, "parameters": values}.items()}
    )
    catalog["kept"] = JSONDataset(filepath=str(tmp_path / "kept.json"))
    pipe = pipeline(
        [node(lambda *all_of_them: sum(all_of_them), names, "sum", name="sum")]
        + [
            node(lambda one, every: one + len(every), [name, "parameters"], name[7:], name=name[7:])
            for name in names
        ]
        + [node(lambda total: total, "sum", "kept", name="keep")]
    )

    for runner in (
        penstock.kedro.SequentialRunner(),
        penstock.kedro.ParallelRunner(2),
        penstock.kedro.DaskRunner("tcp://x"),
    ):
        assert len(runner.plan(pipe, catalog).graph) == len(pipe.nodes) + 1


def test_a_session_takes_our_runners_for_its_own():
    given = {"address": "tcp://localhost:8786", "n_workers": 4, "security": {"require_encryption": False}}
    runners = [
        penstock.kedro.SequentialRunner(is_async=True),
        penstock.kedro.ThreadRunner(max_workers=2, is_async=False),
        penstock.kedro.ParallelRunner(max_workers=2, is_async=True),
        penstock.kedro.DaskRunner(**given, is_async=True),
    ]

    assert all(isinstance(runner, AbstractRunner) for runner in runners)
    assert [runner.is_async for runner in runners] == [True, False, True, True]


def test_rich_shows_the_note_of_an_error_once(runner, tmp_path, caplog):
    """It shows the notes of an error once more for each of its causes, so they are logged."""
    nodes = pipeline([node(len, "table", "rows", name="count")])
    catalog = DataCatalog({"table": CSVDataset(filepath=str(tmp_path / "lost.csv"))})
    console = Console(file=io.StringIO(), width=200)

    try:
        runner.run(nodes, catalog)
    except DatasetError:
        console.print_exception()

    shown, note = console.file.getvalue(), "Raised in the load of 'table' for node 'count'"
    assert "DatasetError" in shown
    assert note not in shown
    assert any(text.startswith(note) for text in caplog.messages)
