"""Mean BLEU of one caption against one other: what self-BLEU is often mistaken for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.randomness import stream
from capfix_cli.measures.caption_tokens import Ints, Tokens
from capfix_cli.measures.corpus import Counted
from capfix_cli.measures.count_variance import half_interval
from capfix_cli.measures.ngrams import ORDER, ngrams_of
from capfix_cli.measures.self_bleu import bleu

Floats = NDArray[np.float64]

PAIRS = 100_000  # compared at most
WORDS = 1_500_000  # in them at most, so that captions of over 7 words have fewer pairs


def pair_bleu(
    tokens: Tokens, ones: Ints, others: Ints, order: int = ORDER
) -> tuple[Floats, Floats]:
    """Score pairs of captions by sentence BLEU with smoothing method 1, either way round.

    Args:
        tokens: captions.
        ones: [pairs] the one caption of each.
        others: [pairs] the other.
        order: 4 for BLEU-4.

    Returns:
        [pairs] of the one against the other, [pairs] of the other against the one.
    """
    count = len(ones)
    both = tokens.take(np.concatenate((ones, others)))
    pair = np.concatenate((np.arange(count), np.arange(count)))
    matches = np.zeros((order, count))
    for grams in ngrams_of(both, order, pair):
        # an n-gram of a pair has one row, or two: of the one and of the other
        twice = np.flatnonzero(grams.spans == 2)
        first = grams.starts[twice]
        clipped = np.minimum(grams.count[first], grams.count[first + 1])
        matches[grams.n - 1] = np.bincount(pair[grams.caption[first]], clipped, count)
    lengths = tokens.lengths
    return (
        bleu(matches, lengths[ones], lengths[others]),
        bleu(matches, lengths[others], lengths[ones]),
    )


def pairwise_bleu(counted: Counted, seed: int, most: int = PAIRS) -> tuple[float, float, int]:
    r"""Give the mean BLEU-4 over pairs of captions, half its 95 % interval, and the pairs taken.

    Exact where all pairs are no more than ``most``. Else it is a sketch: captions in a drawn
    order, each compared with those 1, 2, ... places on, or a drawn part of them with the next one.
    Its error is within the interval: the mean is a U-statistic, whose variance is
    :math:`4/N^2 \sum_i (a_i - \bar a)^2` less what pairs count twice, a_i being the mean of
    caption i's pairs.
    """
    said = stream(seed, "pairwise-bleu.order").permutation(counted.said())
    words = float(counted.tokens.lengths[said].mean()) if len(said) else 0.0
    most = min(most, max(1, round(WORDS / max(1.0, 2 * words))))
    size = min(len(said), most)
    said = said[:size]
    if size * (size - 1) // 2 <= most:
        one, other = np.triu_indices(size, 1)
    else:
        steps = np.arange(1, max(1, min(most // size, (size - 1) // 2)) + 1)
        one = np.tile(np.arange(size), len(steps))
        other = (one + np.repeat(steps, size)) % size
    forth, back = pair_bleu(counted.tokens, said[one], said[other])
    scores = (forth + back) / 2
    taken = len(scores)
    value = float(scores.mean())
    excess = scores - value
    added = (np.bincount(one, excess, size) + np.bincount(other, excess, size)).astype(np.float64)
    variance = float(added @ added) - float(excess @ excess)
    variance = max(variance, float(excess @ excess))
    half = half_interval(variance, added, np.ones(size, np.int64), 2 * taken / size) / taken
    return value, half, taken
