"""`name@format`: one dataset in several formats. It is one node of the graph, and each format has its own catalog entry."""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = "@"


def base_name(dataset: str) -> str:
    """The name without its format; nodes are linked by it."""
    return dataset.partition(SEPARATOR)[0]


def base_names(datasets: Iterable[str]) -> tuple[str, ...]:
    """The names without their formats, in the same order."""
    return tuple([name.partition(SEPARATOR)[0] for name in datasets])


def split(dataset: str) -> tuple[str, str]:
    """The base name, and the format with its separator in front; the format is empty when there is none."""
    base, separator, fmt = dataset.partition(SEPARATOR)
    return base, separator + fmt


def ambiguous(datasets: Iterable[str]) -> list[str]:
    """The datasets with more than one separator: it is not clear where their format begins."""
    return [name for name in datasets if name.count(SEPARATOR) > 1]


def used_both_ways(datasets: set[str]) -> list[str]:
    """The names, sorted, that are used both without a format and with one."""
    return sorted({base_name(name) for name in datasets if SEPARATOR in name} & datasets)
