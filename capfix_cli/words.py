"""How a caption becomes words: one rule for references, measures and vocabularies."""

from __future__ import annotations


def split_words(text: str) -> list[str]:
    """Split a caption into lower-case words, with punctuation dropped.

    >>> split_words("A dog's bark, far-away!")
    ['a', "dog's", 'bark', 'far-away']
    """
    kept = "".join(ch if ch.isalnum() or ch in "'-" else " " for ch in text.lower())
    return [word for word in (part.strip("'-") for part in kept.split()) if word]
