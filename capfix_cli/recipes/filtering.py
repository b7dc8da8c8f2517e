"""Captions that would be true of any clip (fix 4.2)."""

from __future__ import annotations

from capfix_cli.words import split_words

# Words that name no source of sound and nothing that it does.
_WORDS = (
    "a an the is are was were being be been of in on at to and or with as by for from it its this "
    "that these there then while some someone something somewhere sound sounds noise noises heard "
    "hear hearing audio recording clip background foreground can could made making make makes "
    "very different various several many other another thing things kind type playing play"
)
VAGUE = frozenset(_WORDS.split())


def specific_words(caption: str) -> list[str]:
    """Give the words of a caption that say something about its clip.

    >>> specific_words("The sound of rain can be heard")
    ['rain']
    """
    return [word for word in split_words(caption) if word not in VAGUE]


def is_specific(caption: str, at_least: int = 1) -> bool:
    """Say whether a caption names enough.

    >>> is_specific("A sound is heard."), is_specific("A dog barks")
    (False, True)
    """
    return len(set(specific_words(caption))) >= at_least
