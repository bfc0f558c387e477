"""Parts of the texts of errors."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """The names in quotes, with commas between them."""
    return ", ".join(map(repr, names))


def problem_text(problem: str, culprits: Iterable[str], advice: str) -> str:
    """A sentence about a problem, with the names that have it, if there are any, and what to do next."""
    named = f": {listed(culprits)}" if culprits else ""
    return f"{problem}{named}. {advice}" if advice else f"{problem}{named}"


def conflict_text(verb: str, nodes_by_dataset: dict[str, list[str]], advice: str) -> str:
    """A sentence about datasets with which several nodes do the same, and a line for each."""
    claims = "".join(f"\n  {name!r} by {listed(nodes)}" for name, nodes in nodes_by_dataset.items())
    return f"{sorted(nodes_by_dataset)} {verb} more than once:{claims}\n{advice}"
