"""Captions that would be true of any clip (fix 4.2), by the rule that a diagnosis names them by."""

from __future__ import annotations

from capfix_cli.diagnosis.training_data.content_words import specific_words


def is_specific(caption: str, at_least: int = 1) -> bool:
    """Say whether a caption names enough.

    >>> is_specific("A sound is heard."), is_specific("A dog barks")
    (False, True)
    """
    return len(specific_words(caption)) >= at_least
