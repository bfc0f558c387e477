"""Nodes that make, change and look at large arrays."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tests.benchmarks.work import Step

MEGABYTE = 2**20
PAGE = 4096


def make(megabytes: float) -> Any:
    """An array of that size, the last element of which tells when it was ready."""
    array = np.ones(int(megabytes * MEGABYTE) // 8)
    array[-1] = time.time()
    return array


def seconds_since(array: Any) -> float:
    """How long the array was on its way, until each page of it is in this process."""
    array[:: PAGE // array.itemsize].sum()
    return float(time.time() - array[-1])


def more(array: Any) -> Any:
    return array + 1.0


def first(array: Any) -> float:
    return float(array[0])


def pair() -> list[Step]:
    """Two nodes, one of which hands an array to the other."""
    return [Step(make, ("megabytes",), "array"), Step(seconds_since, ("array",), "seconds")]


def chain(nodes: int) -> list[Step]:
    """So many nodes with an array each, and one that takes a number out of the last."""
    middle = [Step(more, (f"array_{index}",), f"array_{index + 1}") for index in range(nodes - 1)]
    return [
        Step(make, ("megabytes",), "array_0"),
        *middle,
        Step(first, (f"array_{nodes - 1}",), "first"),
    ]
