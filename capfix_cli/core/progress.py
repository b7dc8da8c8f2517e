"""How long work says how far it is: one protocol for every stage."""

from __future__ import annotations

from collections.abc import Callable

# Called with what is being done, how much of it is done, and how much there is in all.
ProgressCallback = Callable[[str, int, int], None]


def no_progress(stage: str, done: int, total: int) -> None:
    """Show nothing: what a library call does unless it is given something to call."""


def tell(progress: ProgressCallback, line: str) -> None:
    """Have a line read at once, where whoever watches can show one (``progress.tell(line)``).

    A plain function cannot; what is told must therefore stand in the result as well.

    Args:
        progress: what the work reports to.
        line: a sentence.
    """
    told = getattr(progress, "tell", None)
    if told is not None:
        told(line)
