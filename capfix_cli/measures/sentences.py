"""Are captions sentences: do they have words, end, not loop, and not break off?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.thresholds import (
    ENDS_SELDOM,
    SENTENCES_SHARE,
    TOO_LONG,
    WORD_SEEN,
)
from capfix_cli.measures.caption_tokens import Tokens, tokenise
from capfix_cli.measures.intervals import share_interval
from capfix_cli.measures.repetition import said_again
from capfix_cli.schemas.measured_values import Axis

Flags = NDArray[np.bool_]

LONGEST_STRETCH = 8  # words of a stretch that is followed by itself
# After which an English caption cannot end. Prepositions are left out: clips end with "drives by".
_ARTICLES = ("a", "an", "the", "its", "their", "his", "her")
UNFINISHED = frozenset([*_ARTICLES, "and", "or", "of", "with", "while", "is", "are", "was", "were"])
_SPECIAL = re.compile(
    r"<(?:unk|pad|mask|s|/s|bos|eos|sos|start|end|startoftext|endoftext)>"
    r"|<\|[^|>]*\|>|\[(?:UNK|PAD|CLS|SEP|MASK|BOS|EOS)\]",
    re.IGNORECASE,
)

# What a caption can be in place of a sentence, in the order in which it is told.
KINDS: Mapping[str, str] = {
    "empty": "have no words",
    "no_end": "never end",
    "looping": "repeat a stretch of themselves",
    "broken_off": "break off",
    "special_tokens": "hold special or unknown tokens",
    "too_long": "are far longer than any reference",
}


@dataclass(frozen=True)
class SentenceJudgement:
    """Whether captions are sentences, with what was compared.

    Attributes:
        are: as those of people and of published systems are.
        axis: the share that are, beside the share that is asked for.
        kinds: of those in ``KINDS`` that were met, the share of captions.
        examples: of each of these, the caption that is met most often.
    """

    are: bool
    axis: Axis
    kinds: Mapping[str, float] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """What is wrong, in words, the commonest first; empty where nothing is.

        >>> SentenceJudgement(False, Axis(0, 0, 0, 0), {"empty": 0.2, "no_end": 0.75}).told
        '75 % never end, 20 % have no words'
        """
        ordered = sorted(self.kinds.items(), key=lambda row: -row[1])
        return ", ".join(f"{100 * share:.0f} % {KINDS[kind]}" for kind, share in ordered)


def judge_sentences(
    captions: Sequence[str],
    ended: Sequence[bool] | None = None,
    references: Sequence[Sequence[str]] | None = None,
) -> SentenceJudgement:
    """Say whether captions are sentences, as people's and published systems' are.

    Args:
        captions: one a clip, at least one.
        ended: for each, whether it came to its end token; None where that is not known.
        references: of these clips. A word that stands in them often and never last breaks a
            caption off; one that does end them does not; and what is usual in them, loops and
            unfinished ends alike, is asked of nobody.
    """
    people = [text for texts in references or () for text in texts if text.strip()]
    tokens = tokenise(captions)
    usual = tokenise(people)
    unfinished, longest = _usual_ends(usual)
    flags = _flags(tokens, captions, unfinished)
    if ended is not None:
        flags["no_end"] = ~np.asarray(ended, dtype=bool)
    if longest:
        flags["too_long"] = tokens.lengths > longest
    wrong = np.any(list(flags.values()), axis=0)
    needed = SENTENCES_SHARE.value
    source = SENTENCES_SHARE.source
    if people:
        of_people = float(np.mean(np.any(list(_flags(usual, people, unfinished).values()), axis=0)))
        needed *= 1.0 - of_people
        source += ", times the references' own share"
    right = int((~wrong).sum())
    low, high = share_interval(right, len(captions))
    share = right / len(captions)
    met = {kind: found for kind in KINDS if (found := flags.get(kind)) is not None and found.any()}
    return SentenceJudgement(
        share >= needed,
        Axis(share, low, high, needed, source, "captions that are sentences", "share of captions"),
        {kind: float(found.mean()) for kind, found in met.items()},
        {kind: _commonest(captions, found) for kind, found in met.items()},
    )


def _flags(tokens: Tokens, texts: Sequence[str], unfinished: frozenset[str]) -> dict[str, Flags]:
    """Say which captions are empty, looping, broken off or hold special tokens, [captions] each."""
    empty = tokens.lengths == 0
    final = np.zeros(len(tokens), bool)
    bad = np.array([word in unfinished for word in tokens.vocabulary], dtype=bool)
    if len(tokens.ids):
        last = tokens.ids[np.maximum(tokens.offsets[1:] - 1, 0)]
        final = bad[last] & ~empty
    special = np.array([bool(_SPECIAL.search(text)) for text in texts], dtype=bool)
    return {
        "empty": empty,
        "looping": looping(tokens, bad),
        "broken_off": final,
        "special_tokens": special,
    }


def looping(tokens: Tokens, function_words: Flags | None = None) -> Flags:
    """Say which captions loop, [captions].

    Three times the same word, twice a stretch of two words or more, or twice a word that is never
    said twice, such as an article.

    Args:
        tokens: captions.
        function_words: [vocabulary] words of the last kind.
    """
    found = said_again(tokens, 1, times=3)
    if function_words is not None:
        found |= said_again(tokens, 1, of=function_words)
    for stretch in range(2, LONGEST_STRETCH + 1):
        found |= said_again(tokens, stretch)
    return found


def _usual_ends(people: Tokens) -> tuple[frozenset[str], float]:
    """Learn from references after which words nobody ends, and how long captions are at most.

    Returns:
        Words, and 0 where there are no references.
    """
    if not len(people.ids):
        return UNFINISHED, 0.0
    words = len(people.vocabulary)
    said = np.bincount(people.ids, minlength=words)
    full = people.lengths > 0
    last = np.bincount(people.ids[people.offsets[1:][full] - 1], minlength=words)
    often = said >= WORD_SEEN.value
    seldom = last <= ENDS_SELDOM.value * said
    learned = {people.vocabulary[place] for place in np.flatnonzero(often & seldom).tolist()}
    known = {people.vocabulary[place] for place in np.flatnonzero(often & ~seldom).tolist()}
    # A word that stands in references seldom says nothing; the English ones are then kept.
    return frozenset((UNFINISHED - known) | (learned & _leads(people))), (
        TOO_LONG.value * float(people.lengths.max())
    )


def _leads(people: Tokens) -> set[str]:
    """Words that many different words follow: an article does, the first word of a name does not.

    A noun may stand in references often and never last, where the grammar has it so; a caption
    that ends with it is not broken off for that. After an article or a conjunction something must
    come, and it may be nearly anything.
    """
    followers: dict[int, set[int]] = {}
    owners = people.owners()
    inside = np.flatnonzero(owners[:-1] == owners[1:])
    pairs = np.unique(np.stack([people.ids[inside], people.ids[inside + 1]]), axis=1)
    for word, after in pairs.T.tolist():
        followers.setdefault(word, set()).add(after)
    least = max(3.0, ENDS_SELDOM.value * len(people.vocabulary))
    return {people.vocabulary[word] for word, after in followers.items() if len(after) >= least}


def _commonest(captions: Sequence[str], found: Flags) -> str:
    counts = Counter(captions[place] for place in np.flatnonzero(found).tolist())
    return min(counts, key=lambda text: (-counts[text], text))
