"""Finds the names that the user may have meant, for errors about names that do not exist."""

from __future__ import annotations

from collections.abc import Iterable


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
