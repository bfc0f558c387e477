"""What a row of the table is, and how the table is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

NOT_INSTALLED = "not installed"

COLUMNS = ("what", "work", "ours", "bare Dask", "Kedro", "ratio", "to reach", "reached")


@dataclass(frozen=True)
class Bar:
    """What a value has to be.

    Attributes:
        bound: The value may be this, too.
        unit: What is counted; `x` for a ratio.
        is_floor: The value has to be at least the bound, not at most.
    """

    bound: float
    unit: str = "x"
    is_floor: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.is_floor else '≤'} {self.bound:g} {self.unit}"

    def is_reached_by(self, value: float) -> bool:
        return self.distance(value) <= 1

    def distance(self, value: float) -> float:
        """How far the value is from the bound: 1 is on it, and less is better."""
        return self.bound / value if self.is_floor else value / self.bound


@dataclass(frozen=True)
class Row:
    """What is measured, whatever comes out; without a bar it is there to be known."""

    what: str
    work: str
    bar: Bar | None = None


@dataclass(frozen=True)
class Result:
    """What came out; the value is what the bar is about, and None if it could not be measured."""

    ours: str
    bare: str = ""
    kedro: str = ""
    value: float | None = None

    def written(self, row: Row) -> tuple[str, ...]:
        """The cells of the row, in the order of the columns."""
        unit = row.bar.unit if row.bar else "x"
        ratio = "" if self.value is None else f"{shown(self.value)} {unit}"
        to_reach = str(row.bar) if row.bar else "-"
        return (row.what, row.work, self.ours, self.bare, self.kedro, ratio, to_reach, self.verdict(row))

    def verdict(self, row: Row) -> str:
        """Whether the bar is reached."""
        if row.bar is None:
            return "-"
        if self.value is None:
            return "not measured"
        return "yes" if row.bar.is_reached_by(self.value) else "no"


@dataclass(frozen=True)
class Effort:
    """How much work is done for the numbers: all of it, or only as much as shows that the programs run."""

    is_quick: bool = False

    def rounds(self, wanted: int) -> int:
        return 1 if self.is_quick else wanted

    def size(self, wanted: int, quick: int) -> int:
        return quick if self.is_quick else wanted


@dataclass(frozen=True)
class Benchmark:
    """Rows that are measured together."""

    rows: tuple[Row, ...]
    measure: Callable[[Effort], Sequence[Result]]
    """A result for each row, in their order."""


def table(measured: Sequence[tuple[Row, Result]]) -> str:
    """The table in Markdown, in columns that can be read as they are."""
    lines = [COLUMNS, *(result.written(row) for row, result in measured)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(cells, widths) for cells in (lines[0], rule, *lines[1:]))


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"


def shown(value: float) -> str:
    """A number with as many digits as mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def seconds(value: float) -> str:
    """A time in the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{shown(value / size)} {unit}"
    return f"{shown(value / 1e-6)} µs"


def per_node(value: float, nodes: int) -> str:
    """A time for each node."""
    return f"{seconds(value / nodes)} a node"
