"""`name@format`: one dataset for the graph, an entry of its own in the catalog for every format."""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = "@"


def base_name(dataset: str) -> str:
    """The name without its format: what decides which node feeds which."""
    return dataset.partition(SEPARATOR)[0]


def base_names(datasets: Iterable[str]) -> tuple[str, ...]:
    """The names without their formats, in the same order."""
    return tuple([name.partition(SEPARATOR)[0] for name in datasets])


def split(dataset: str) -> tuple[str, str]:
    """The base name, and the format with its separator in front; an empty text when there is none."""
    base, separator, fmt = dataset.partition(SEPARATOR)
    return base, separator + fmt


def ambiguous(datasets: Iterable[str]) -> list[str]:
    """Those datasets that have more than one separator, so that nobody knows where the format begins."""
    return [name for name in datasets if name.count(SEPARATOR) > 1]


def used_both_ways(datasets: set[str]) -> list[str]:
    """The names, sorted, that stand among the datasets both bare and with a format."""
    return sorted({base_name(name) for name in datasets if SEPARATOR in name} & datasets)
