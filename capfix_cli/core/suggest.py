"""The nearest of the names that there are, for whoever misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Find the known name that a misspelt one is likeliest to mean.

    Args:
        name: as it was written.
        known: the names that there are.
        cutoff: least likeness, 0 to 1 (``difflib.SequenceMatcher.ratio``).

    >>> nearest("temprature", ["temperature", "top_p"]), nearest("x", ["temperature"])
    ('temperature', None)
    """
    import difflib  # only a mistake needs it

    return next(iter(difflib.get_close_matches(name, list(known), 1, cutoff)), None)


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Give the hint of a message about an unknown name: the nearest one, or what there is.

    >>> did_you_mean("collapsd", ["collapsed"], "Verdicts: collapsed.")
    'Did you mean collapsed?'
    """
    near = nearest(name, known)
    return otherwise if near is None else f"Did you mean {near}?"
