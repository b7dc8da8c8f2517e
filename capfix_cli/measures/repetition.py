"""Words said again: within a caption, and in other captions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from capfix_cli.measures.caption_tokens import Ints, Tokens
from capfix_cli.measures.count_variance import half_interval
from capfix_cli.measures.ngrams import Ngrams

LONGEST = 4  # words of a stretch that is followed by itself


def repeating(tokens: Tokens, longest: int = LONGEST) -> NDArray[np.bool_]:
    """Say which captions have a stretch of up to ``longest`` words followed by itself.

    Returns:
        [captions].

    >>> from capfix_cli.measures.caption_tokens import tokenise
    >>> repeating(tokenise(["a dog a dog barks", "rain and then rain"])).tolist()
    [True, False]
    """
    found = np.zeros(len(tokens), bool)
    for n in range(1, longest + 1):
        found |= said_again(tokens, n)
    return found


def said_again(
    tokens: Tokens, stretch: int, times: int = 2, of: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Say which captions have a stretch of so many words so many times in a row, [captions].

    Args:
        tokens: captions.
        stretch: words.
        times: 2 or more.
        of: [vocabulary] words that count, where not all do; for stretches of one word.
    """
    found = np.zeros(len(tokens), bool)
    owners = tokens.owners()
    ids = tokens.ids
    same = (ids[:-stretch] == ids[stretch:]) & (owners[:-stretch] == owners[stretch:])
    if of is not None:
        same &= of[ids[:-stretch]]
    needed = stretch * (times - 1)
    run = np.concatenate(([0], np.cumsum(same)))
    if len(run) > needed:
        found[owners[np.flatnonzero(run[needed:] - run[:-needed] == needed)]] = True
    return found


def self_repetition(grams: Ngrams, counts: Ints) -> tuple[float, float]:
    r"""Give the mean over captions of ln(1 + r), and half its 95 % interval.

    r is, summed over a caption's distinct n-grams, how many other captions have it too (Salkar et
    al. 2022, with n = 4; Shaib et al., arXiv 2403.00553). What a caption adds to the sum is its
    own term and about 1 / (1 + r) for each n-gram that it shares with another.

    Args:
        grams: n-grams of one length.
        counts: [captions] how often each was said.
    """
    size = int(counts.sum())
    if not len(grams):
        return 0.0, 0.0
    others = np.add.reduceat(counts[grams.caption], grams.starts) - 1
    shared = grams.sum_by_caption(grams.each(others))
    scores = np.log1p(shared)
    slope = 1.0 / (1.0 + shared)
    sharers = np.add.reduceat((counts * slope)[grams.caption], grams.starts)
    own = grams.sum_by_caption(np.ones(len(grams.caption)))
    steps = scores + grams.sum_by_caption(grams.each(sharers)) - own * slope
    variance = float(steps**2 @ counts) - float(steps @ counts) ** 2 / size
    half = half_interval(variance, steps, counts, 2 * math.log(2))
    return float(scores @ counts) / size, half / size
