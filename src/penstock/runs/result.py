"""What a run gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class NodeRecord(NamedTuple):
    """Where one node ran and how long it took.

    The seconds of `load` and `save` count the copies of data in memory as well. Loads and saves that are tasks of their own
    may have run on other workers, or at the same time as each other; their seconds are added up.
    """

    node: str
    worker: str
    """The thread, process or cluster worker that called the node."""
    start: float
    """When its first task began, in seconds since the epoch, on the worker's clock."""
    load_seconds: float
    call_seconds: float
    """In the node's function and the hooks around it."""
    save_seconds: float

    @property
    def seconds(self) -> float:
        """All of its work, added up."""
        return self.load_seconds + self.call_seconds + self.save_seconds


class RunResult(dict[str, Any]):
    """The datasets of the pipeline's outputs by name: `result["model"].load()` gives the data.

    Attributes:
        producers: The name of the node that made each dataset, by the dataset's name.
        records: One `NodeRecord` a node, in the order in which they finished.
        run_id: What hooks were given.
        seconds: From the first check to the last output.
    """

    def __init__(
        self,
        datasets: Mapping[str, Any] | None = None,
        *,
        producers: Mapping[str, str] | None = None,
        records: Sequence[NodeRecord] = (),
        run_id: str = "",
        seconds: float = 0.0,
    ) -> None:
        super().__init__(datasets or {})
        self.producers = dict(producers or {})
        self.records = list(records)
        self.run_id = run_id
        self.seconds = seconds

    def __missing__(self, name: str) -> Any:
        made = self.producers.get(name)
        told = (
            f"node {made!r} made it for other nodes; the catalog has it if it is stored"
            if made
            else "no node made it"
        )
        raise KeyError(f"{name} is no output of the pipeline: {told}. Outputs: {', '.join(self) or 'none'}")

    def timetable(self) -> str:
        """Where the time went, to print: a line for each node in the order of their starts, and the total.

        Seconds are those of `NodeRecord`: to load, to call, to save.
        """
        width = max([len(record.node) for record in self.records], default=4) + 2
        lines = [f"{'node':{width}}{'load s':>8}{'call s':>8}{'save s':>8}  worker"]
        for record in sorted(self.records, key=lambda record: record.start):
            seconds = (record.load_seconds, record.call_seconds, record.save_seconds)
            lines.append(
                f"{record.node:{width}}{''.join(f'{spent:8.2f}' for spent in seconds)}  {record.worker}"
            )
        return "\n".join([*lines, f"{len(self.records)} nodes in {self.seconds:.1f} s (run {self.run_id})"])
