"""Which words of an English caption say what is heard, and which would be true of any clip."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from capfix_cli.core.text import split_words

# Words without which no English sentence does; they name nothing.
_FUNCTION = """
    a an the this that these those there here it its it's he she they them his her their who whom
    which what where when while as before after during until then than though although because if so
    and or but nor with without within by of in on at to from into onto over under off out up down
    through around about along across against between among near for like is are was were be been
    being am isn't aren't has have had having do does did doing done can could may might must shall
    should will would not no also again still just only very too quite rather much many more most
    few less some any all both each every either neither other others another same such own one's i
    we you me us my our your
"""
FUNCTION_WORDS = frozenset(_FUNCTION.split())
# Words that could be said of nearly any recording; ours, read through against people's captions
# of AudioCaps and Clotho by benchmarks/calibration/training_data_bands.py.
_VAGUE = """
    sound sounds sounding sounded noise noises noisy audio audible recording recordings recorded
    record clip clips thing things stuff something anything everything kind kinds sort sorts type
    types way one two three four several various different multiple numerous certain unknown
    unidentified unclear random general heard hear hears hearing listen listening occur occurs
    occurring occurred happen happens happening happened make makes making made produce produces
    producing produced emit emits emitting emitted play plays playing played present exist exists
    existing go goes going start starts starting started begin begins beginning stop stops stopping
    stopped continue continues continuing continued continuous continuously continually constant
    constantly repeat repeats repeating repeated repeatedly follow follows following followed come
    comes coming get gets getting take takes taking loud louder loudly quiet quietly soft softly
    faint faintly low high slight slightly background foreground distance distant nearby close place
    places area space environment somewhere time times moment short long brief briefly sudden
    suddenly first second last next once twice consistent steady steadily source object objects item
    items someone
"""
VAGUE_WORDS = frozenset(_VAGUE.split())
ENOUGH = 2_000  # captions that show their language
UNSPECIFIC = FUNCTION_WORDS | VAGUE_WORDS


@functools.lru_cache(maxsize=100_000)  # every check asks for the same captions' words again
def words_of(text: str) -> tuple[str, ...]:
    """Give a caption's words, as :func:`capfix_cli.core.text.split_words` does."""
    return tuple(split_words(text))


def specific_words(text: str, common: frozenset[str] = frozenset()) -> list[str]:
    """Give the words of a caption that name something, each once, in their order.

    Args:
        text: the caption.
        common: words that name nothing in this file either.

    >>> specific_words("A loud sound is heard as a dog barks at the dog")
    ['dog', 'barks']
    """
    return [
        word
        for word in dict.fromkeys(words_of(text))
        if word not in UNSPECIFIC and word not in common and not word.isdigit()
    ]


def stem(word: str) -> str:
    """Cut the commonest English endings, so that "barks" and "barking" are one word.

    >>> [stem(word) for word in ("barks", "barking", "barked", "running", "glass", "cries")]
    ['bark', 'bark', 'bark', 'run', 'glas', 'cri']
    """
    for ending, least in (("ing", 3), ("ies", 3), ("ed", 3), ("es", 3), ("s", 2), ("y", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least:
            word = word.removesuffix(ending) + ("i" if ending in {"ies", "y"} else "")
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def is_english(captions: Sequence[str], share: float) -> bool:
    """Say whether such a share of captions, of a few thousand at most, has a function word."""
    some = captions[:: max(1, len(captions) // ENOUGH)]
    found = sum(any(word in FUNCTION_WORDS for word in words_of(text)) for text in some)
    return len(some) > 0 and found >= share * len(some)
