"""The line beside a figure that says how to get the same figure again."""

from __future__ import annotations

from capfix_cli import __version__

TOKENISER = "capfix"  # capfix_cli.core.text.split_words: lower case, no punctuation


def signature(name: str, captions: int, seed: int | None = None, **settings: object) -> str:
    """Write what a figure depends on, as sacreBLEU does.

    Args:
        name: of the measure.
        captions: N.
        seed: of what is drawn; None where nothing is.
        settings: further ones, in the order given.

    >>> signature("distinct_2", 100, n=2).rsplit("|", 1)[0]
    'distinct_2|n:2|tok:capfix|N:100'
    """
    parts = [name, *(f"{key}:{value}" for key, value in settings.items())]
    parts += [f"tok:{TOKENISER}", f"N:{captions}"]
    if seed is not None:
        parts.append(f"seed:{seed}")
    return "|".join([*parts, f"version:{__version__}"])
