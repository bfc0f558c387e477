"""Finds the names that the user may have meant, for errors and warnings about names that do not exist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile

_SHORTEST_WORD = 4
"""A slip in a shorter word is more often another word: `raw` and `row`, `x` and `y`."""


def similar_names(
    unknown: Iterable[str], known: Iterable[str], most: int = 3, similarity: float = 0.6
) -> list[str]:
    """The known names that are most like the unknown ones, without duplicates: for each unknown one, the most similar first.

    Args:
        unknown: Names that do not exist.
        known: Names that exist.
        most: How many names for each unknown one.
        similarity: How much of two names has to be the same, from 0 to 1 (`difflib.get_close_matches`).
    """
    # Imported on first use: only errors need it, and it takes longer than most modules of the library.
    from difflib import get_close_matches  # noqa: PLC0415

    names = sorted(known)
    return list(
        dict.fromkeys(close for name in unknown for close in get_close_matches(name, names, most, similarity))
    )


def misspelt(names: Iterable[str], known: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of a name and a known one that differ by one slip of the hand: a letter or separator, two neighbours, or case.

    Stricter than a likeness: `north.clean` and `south.clean` are two names, and so are `x_train` and `y_train`, `part_1` and `part_2`.
    The time grows with the number of names, not of pairs.
    """
    names_by_rest: dict[str, list[str]] = {}
    for name in names:
        for rest in _rests(name):
            names_by_rest.setdefault(rest, []).append(name)
    pairs = {
        (name, other) for other in known for rest in _rests(other) for name in names_by_rest.get(rest, ())
    }
    return sorted(pair for pair in pairs if _is_misspelt(*pair))


def _rests(name: str) -> set[str]:
    """The name, and what is left of it without one of its letters: names that differ by one slip have one of these in common."""
    name = name.lower()
    return {name, *(name[:place] + name[place + 1 :] for place in range(len(name)))}


def _is_misspelt(name: str, other: str) -> bool:
    words, others = (re.findall(r"[^\W_]+", each.lower()) for each in (name, other))
    if "".join(words) == "".join(others):
        return True
    pairs = zip(words, others, strict=False)
    return len(words) == len(others) and all(one == two or _is_slip(one, two) for one, two in pairs)


def _is_slip(word: str, other: str) -> bool:
    """Whether a letter is missing, added or another one, or two neighbours have changed places."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False)))
    one, two = word[same:], other[same:]
    is_one_letter = two[1:] in {one, one[1:]} or one[1:] == two
    is_swap = one[:2] == two[1::-1] and one[2:] == two[2:]
    has_digit = re.search(r"\d", one[:1] + two[:1])
    return (is_one_letter or is_swap) and not has_digit and min(len(word), len(other)) >= _SHORTEST_WORD
