"""Self-BLEU-4 in time linear in the corpus, equal to the quadratic definition."""

from __future__ import annotations

import bisect
import math
from collections import Counter, defaultdict
from collections.abc import Sequence

Gram = tuple[str, ...]
Tops = dict[Gram, tuple[int, int, int]]  # largest count, its holder, second largest count

ORDER = 4
EPSILON = 0.1  # NLTK's smoothing method 1: a precision with no match counts this instead of 0


def self_bleu_scores(captions: Sequence[Sequence[str]]) -> list[float]:
    """Score each caption by BLEU-4 against all the others (Texygen, arXiv 1802.01886).

    A clipped n-gram count needs, over the other captions, only the largest count of that n-gram:
    two largest per n-gram, and who holds the first, serve every caption.

    Args:
        captions: N >= 2 captions in words.

    Returns:
        N scores in [0, 1]; a caption of no words scores 0.
    """
    counted = [
        [Counter(zip(*(words[i:] for i in range(n)), strict=False)) for n in range(1, ORDER + 1)]
        for words in captions
    ]
    tops = [_two_largest([counts[n] for counts in counted]) for n in range(ORDER)]
    lengths = Counter(len(words) for words in captions)
    ordered = sorted(lengths)
    return [
        _bleu(index, len(words), counted[index], tops, _closest(len(words), lengths, ordered))
        for index, words in enumerate(captions)
    ]


def _two_largest(
    counters: Sequence[Counter[Gram]],
) -> Tops:
    """Find for each n-gram who says it most."""
    largest: Tops = defaultdict(lambda: (0, -1, 0))
    for holder, counter in enumerate(counters):
        for gram, count in counter.items():
            first, who, second = largest[gram]
            if count > first:
                largest[gram] = (count, holder, first)
            elif count > second:
                largest[gram] = (first, who, count)
    return largest


def _closest(own: int, lengths: Counter[int], ordered: Sequence[int]) -> int:
    """Give the length among the other captions that is closest to ``own``; the shorter of two."""
    if lengths[own] > 1:
        return own
    place = bisect.bisect_left(ordered, own)
    others = [*ordered[max(place - 1, 0) : place], *ordered[place + 1 : place + 2]]
    return min(others, key=lambda length: (abs(length - own), length))


def _bleu(
    index: int,
    length: int,
    counts: Sequence[Counter[Gram]],
    tops: Sequence[Tops],
    reference: int,
) -> float:
    total = 0.0
    for n, (grams, largest) in enumerate(zip(counts, tops, strict=True)):
        matched = 0
        for gram, count in grams.items():
            first, who, second = largest[gram]
            matched += min(count, second if who == index else first)
        if n == 0 and not matched:
            return 0.0  # NLTK: without one common word the score is 0, whatever the smoothing
        # A caption shorter than n words has no n-gram; NLTK counts its denominator as 1.
        total += math.log((matched or EPSILON) / max(1, length - n))
    brevity = 1.0 if length > reference else math.exp(1 - reference / length)
    return brevity * math.exp(total / ORDER)
