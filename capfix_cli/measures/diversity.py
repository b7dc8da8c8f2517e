"""How much captions differ between clips: pure functions of a list of captions in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Words = tuple[str, ...]


def ngrams(words: Words, n: int) -> list[Words]:
    """Give a caption's n-grams, in order."""
    return [words[i : i + n] for i in range(len(words) - n + 1)]


def distinct_n(captions: Sequence[Words], n: int) -> float:
    """Distinct n-grams over n-grams, of the whole corpus (Li et al., arXiv 1510.03055)."""
    grams = [gram for words in captions for gram in ngrams(words, n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def distinct_captions(captions: Sequence[Words]) -> float:
    """Distinct captions over captions."""
    return len(set(captions)) / len(captions)


def caption_entropy(captions: Sequence[Words]) -> float:
    """Entropy of the distribution over distinct captions, over log2 N; 0 to 1."""
    total = len(captions)
    if total < 2:
        return 0.0
    shares = [count / total for count in Counter(captions).values()]
    return -sum(share * math.log2(share) for share in shares) / math.log2(total) + 0.0


def top_share(captions: Sequence[Words], k: int) -> float:
    """Share of the captions that are one of the ``k`` commonest."""
    return sum(count for _, count in Counter(captions).most_common(k)) / len(captions)


def vocabulary(captions: Sequence[Words]) -> int:
    """Distinct words of the corpus."""
    return len({word for words in captions for word in words})


def repeats_itself(words: Words, longest: int = 4) -> bool:
    """Say whether a stretch of up to ``longest`` words is followed by itself: "a dog a dog"."""
    return any(
        words[i : i + n] == words[i + n : i + 2 * n]
        for n in range(1, longest + 1)
        for i in range(len(words) - 2 * n + 1)
    )


def expected_distinct(captions: Sequence[Words], size: int) -> float:
    """Share of distinct captions expected among ``size`` drawn without replacement (rarefaction).

    Exact: a caption said c times of N is missed with probability C(N - c, m) / C(N, m) (Hurlbert
    1971, Ecology 52). So diversity at different N can be compared at the same m.
    """
    total = len(captions)
    log_all = _log_choose(total, size)
    seen = sum(
        1.0 - (math.exp(_log_choose(total - count, size) - log_all) if total - count >= size else 0)
        for count in Counter(captions).values()
    )
    return seen / size


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
