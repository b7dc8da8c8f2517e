"""How a caption becomes words: one rule for references, measures and vocabularies."""

from __future__ import annotations

import re
import unicodedata

# Scripts that put no space between words: Thai, Lao, Burmese, Khmer, Kana, Han.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


def split_words(text: str) -> list[str]:
    """Split a caption into lower-case words, with punctuation dropped.

    A script that puts no space between words is split into its characters, as sacreBLEU does for
    Chinese: its whole sentence would else count as one word.

    >>> split_words("A dog's bark, far-away!")
    ['a', "dog's", 'bark', 'far-away']
    >>> split_words("Ein Hund: 犬吠")
    ['ein', 'hund', '犬', '吠']
    """
    kept = "".join(ch if in_word(ch) or ch in "'-" else " " for ch in spaced(text.lower()))
    return [word for word in (part.strip("'-") for part in kept.split()) if word]


def in_word(ch: str) -> bool:
    """Say whether a character belongs to a word: letters, digits, and the marks on letters."""
    return ch.isalnum() or unicodedata.category(ch).startswith("M")


def spaced(text: str) -> str:
    """Put spaces around the characters of scripts that have none between words.

    >>> spaced("dog 犬吠")
    'dog  犬  吠 '
    """
    return text if text.isascii() else _UNSPACED.sub(r" \g<0> ", text)
