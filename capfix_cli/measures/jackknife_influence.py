"""Which caption leans on which other for its self-BLEU, and so how far self-BLEU varies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capfix_cli.measures.caption_tokens import Ints
from capfix_cli.measures.count_variance import half_interval
from capfix_cli.measures.ngrams import Ngrams, changes
from capfix_cli.measures.self_bleu import Tops, bleu

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Leaning:
    """Matches of n-grams that a caption would lose if one certain other were not there.

    Attributes:
        on: [pairs] ``caption * captions + other``, ascending, each pair once.
        lost: [pairs] how many matches.
    """

    on: Ints
    lost: Floats


def leaning(grams: Ngrams, tops: Tops) -> Leaning:
    """Find the matches that rest on one other caption alone.

    A clipped count rests on the other caption with the largest count; without that one, on the
    next. So the three largest counts of an n-gram say who leans on whom: linear in the corpus,
    although it speaks of pairs.

    Args:
        grams: n-grams of one length.
        tops: their three largest counts.
    """
    first, second, third = (grams.each(top) for top in (tops.first, tops.second, tops.third))
    one, two = tops.holds_first, tops.holds_second
    best = np.where(one, second, first)  # among the others
    next_best = np.where(one | two, third, second)  # without the holder of the best
    lost = np.minimum(grams.count, best) - np.minimum(grams.count, next_best)
    holders = [_holder(grams, holds) for holds in (one, two)]
    rows = np.flatnonzero(lost)
    gram = grams.gram[rows]
    holder = np.where(one[rows], holders[1][gram], holders[0][gram])
    return _summed(grams.caption[rows] * grams.captions + holder, lost[rows].astype(np.float64))


def self_bleu_half(
    matches: Floats,
    leanings: Sequence[Leaning],
    lengths: Ints,
    references: Ints,
    counts: Ints,
) -> tuple[float, float]:
    r"""Give mean self-BLEU and half of its 95 % interval.

    The score of a caption rests on the others, so scores are not independent: what a caption adds
    to the sum of scores is its own and what others would lose without it,
    :math:`L_i = B_i + \sum_j \delta_{ji}`. The variance of the sum is, to second order (Efron &
    Stein 1981, Annals of Statistics 9; what pairs add is counted twice by the first term),

    .. math:: \sum_i (L_i - \bar L)^2 - \sum_{i<j} (\delta_{ij} + \delta_{ji})^2.

    Args:
        matches: [order, captions] clipped counts.
        leanings: [order] of them.
        lengths: [captions] in words.
        references: [captions] closest length among the others.
        counts: [captions] how often each was said.
    """
    size = int(counts.sum())
    scores = bleu(matches, lengths, references)
    on, lost = _aligned(leanings)
    who, other = np.divmod(on, max(1, len(counts)))
    without = bleu(matches[:, who] - lost, lengths[who], references[who])
    loss = scores[who] - without
    steps = scores + np.bincount(other, weights=loss, minlength=len(counts))
    ends = np.minimum(who, other) * len(counts) + np.maximum(who, other)
    pairs = _summed(ends, loss).lost
    doubled = np.where(who == other, 3.0, 0.0) @ loss**2  # twice the loss, of which one is there
    variance = float((steps**2) @ counts) - float(steps @ counts) ** 2 / size
    second = float(pairs @ pairs) + float(doubled)
    variance = variance**2 / (variance + second) if variance > 0 else 0.0
    half = half_interval(variance, steps, counts, 1.0) / size
    return float(scores @ counts) / size, half


def _holder(grams: Ngrams, holds: NDArray[np.bool_]) -> Ints:
    """Give for each n-gram the caption of the row that is marked, -1 where none is."""
    rows = np.flatnonzero(holds)
    found = np.full(len(grams), -1)
    found[grams.gram[rows]] = grams.caption[rows]
    return found


def _summed(on: Ints, lost: Floats) -> Leaning:
    """Add up what is lost by pair."""
    order = np.argsort(on)
    ranked = on[order]
    starts = np.flatnonzero(changes(ranked))
    if not len(starts):
        return Leaning(ranked, np.empty(0))
    return Leaning(ranked[starts], np.add.reduceat(lost[order], starts))


def _aligned(leanings: Sequence[Leaning]) -> tuple[Ints, Floats]:
    """Bring the pairs of all orders together: [pairs] and what is lost, [order, pairs]."""
    on = np.unique(np.concatenate([part.on for part in leanings]))
    lost = np.zeros((len(leanings), len(on)))
    for row, part in zip(lost, leanings, strict=True):
        row[np.searchsorted(on, part.on)] = part.lost
    return on, lost
