"""The public API as its users write it: a type checker reads it, and a test runs it.

python tests/typing/api.py <an empty folder>
"""

# pyright: strict

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Client

import penstock
from penstock import (
    AbstractDataset,
    AbstractRunner,
    CachedDataset,
    DaskRunner,
    DataCatalog,
    JSONDataset,
    MemoryDataset,
    Node,
    NodeRecord,
    ParallelRunner,
    PenstockError,
    PickleDataset,
    Pipeline,
    Plan,
    RunResult,
    SequentialRunner,
    Task,
    TextDataset,
    ThreadRunner,
    create_hook_manager,
    hook_impl,
    select_runner,
)
from penstock.pipeline import GroupedNodes, node, pipeline

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: Any, _: Any) -> Any:
        """What a type checker is asked; nothing when it runs."""
        return value


# Nodes are plain functions: typed as their author likes.


def halves(numbers: list[int]) -> tuple[list[int], list[int]]:
    """Two outputs."""
    middle = len(numbers) // 2
    return numbers[:middle], numbers[middle:]


def weighted(left: list[int], right: list[int], factor: float) -> float:
    """One output of three inputs."""
    return sum(left) + factor * sum(right)


def lines(total: float) -> Iterator[str]:
    """An output that is saved as it comes."""
    for number in range(3):
        yield f"{number}: {total}\n"


def sums() -> Pipeline:
    """A pipeline of all forms of nodes."""
    nodes = [
        node(halves, "numbers", ["left", "right"], name="halves", tags="first"),
        Node(
            weighted,
            {"left": "left", "right": "right", "factor": "params:factor"},
            "total",
            name="weighted",
            tags=["second", "last"],
        ),
        node("total {}".format, "total", "report", name="report"),
        node(lines, "total", "log", name="lines"),
    ]
    return pipeline(nodes)


def selected(pipe: Pipeline) -> Pipeline:
    """What can be asked of pipelines, and made of them."""
    assert_type(pipe.nodes, list[Node])
    assert_type(pipe.grouped_nodes, list[list[Node]])
    assert_type(pipe.inputs(), set[str])
    assert_type(pipe.outputs() | pipe.datasets(), set[str])
    assert_type(pipe.describe(), str)
    assert_type(pipe.group_nodes_by("namespace"), list[GroupedNodes])
    assert_type(pipe.nodes[0].tags, set[str])
    assert_type(pipe.nodes[0].run({"numbers": [1, 2]}), dict[str, Any])

    part = pipe.to_outputs("total") | pipe.only_nodes("report") - pipe.only_nodes_with_tags("first")
    twice = sum(
        (pipeline(part, namespace=name, inputs={"numbers"}) for name in ("north", "south")), pipeline([])
    )
    assert_type(twice, Pipeline)
    assert_type(twice.filter(node_namespaces=["north"]), Pipeline)
    return pipeline(part, inputs={"numbers": "depths"}, outputs={"report": "summary"}, tags={"renamed"})


# A dataset of one's own.


class NumbersDataset(AbstractDataset):
    """Numbers, one in a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[int]:
        """All numbers."""
        return [int(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def save(self, data: list[int]) -> None:
        """Replace the numbers."""
        self.path.write_text("\n".join(map(str, data)), encoding="utf-8")

    def _exists(self) -> bool:
        return self.path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": self.path}


class Lines:
    """A dataset that owes nothing to anybody: it loads, saves, exists and lets go."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[str]:
        """All lines."""
        return self.path.read_text(encoding="utf-8").splitlines()

    def save(self, data: str) -> None:
        """One more line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(data)

    def exists(self) -> bool:
        """Whether there is one."""
        return self.path.exists()

    def release(self) -> None:
        """Nothing to let go of."""


def stored(folder: Path) -> DataCatalog:
    """A catalog with data, and with datasets of all makes."""
    folder.mkdir()
    parameters = penstock.parameters({"factor": 0.5, "model": {"alpha": 1}})
    assert_type(parameters, dict[str, Any])
    catalog = DataCatalog({**parameters, "left": MemoryDataset(copy_mode="copy")})
    catalog["numbers"] = NumbersDataset(folder / "numbers.txt")
    catalog["right"] = PickleDataset(str(folder / "right.pkl"))
    catalog["total"] = CachedDataset(JSONDataset(folder / "total.json"))
    catalog["report"] = TextDataset(folder / "report.txt", metadata={"unit": "none"})
    catalog["log"] = Lines(folder / "log.txt")
    catalog.save("numbers", [1, 2, 3, 4])
    assert_type(catalog.exists("numbers"), bool)
    assert_type(catalog.keys(), list[str])
    assert_type(catalog.filter(name_regex="params:"), list[str])
    return catalog


# A plugin.


class Watch:
    """Tells what it sees; a plugin takes the arguments that it needs and leaves the others."""

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """Fires where the node runs."""
        logging.getLogger("watch").debug("%s gave %s", node.name, sorted(outputs))

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Fires in the driver."""
        logging.getLogger("watch").debug("%s: %d nodes", run_params["run_id"], len(pipeline.nodes))


# Running.


def check(result: RunResult) -> None:
    """What a run gives back."""
    assert_type(result.producers, dict[str, str])
    assert_type(result.records, list[NodeRecord])
    assert_type(result.run_id, str)
    assert_type(result.seconds, float)
    assert_type(result.records[0].call_seconds, float)
    assert {record.node for record in result.records} == {"halves", "weighted", "report", "lines"}
    assert result["report"].load() == "total 6.5"
    assert result["log"].load() == ["0: 6.5", "1: 6.5", "2: 6.5"]


def run_everywhere(folder: Path) -> None:
    """The same pipeline on each runner."""
    with Client(n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0") as client:
        runners: list[AbstractRunner] = [
            SequentialRunner(),
            SequentialRunner(is_async=False, progress=True),
            ThreadRunner(max_workers=2),
            ParallelRunner(max_workers=2),
            DaskRunner(client),
            select_runner(sums()),
        ]
        for number, runner in enumerate(runners):
            check(penstock.run(sums(), stored(folder / str(number)), runner, hooks=[Watch()]))


def run_by_hand(folder: Path) -> None:
    """The runner's own methods, a graph to look at, one node alone."""
    catalog = stored(folder)
    runner = ThreadRunner()

    plan = runner.plan(sums(), catalog)
    assert_type(plan, Plan)
    assert_type(str(plan), str)
    result = runner.run(sums(), catalog, create_hook_manager([Watch()]), run_id="by-hand")
    check(result)
    assert_type(runner.run_only_missing(sums(), catalog), RunResult)

    catalog["count"] = MemoryDataset()
    Task(node(len, "numbers", "count"), catalog).run()
    assert catalog.load("count") == len(catalog.load("numbers"))


def failures(folder: Path) -> Iterator[PenstockError]:
    """Errors of Penstock have one base, and what they are about."""
    try:
        penstock.run(sums(), {"numbers": [1]})
    except penstock.MissingInputError as error:
        assert_type(error.names, set[str])
        yield error
    try:
        NumbersDataset(folder / "absent").load()
    except penstock.DatasetError as error:
        yield error


def main(folder: Path) -> None:
    """All of it."""
    assert_type(penstock.__version__, str)
    summary = penstock.run(selected(sums()), {"depths": [1, 2, 3, 4], "params:factor": 0.5})
    assert summary["summary"].load() == "total 6.5"
    run_everywhere(folder)
    run_by_hand(folder / "by-hand")
    missing, unreadable = failures(folder)
    assert isinstance(missing, ValueError)
    assert isinstance(unreadable.__cause__, FileNotFoundError)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
