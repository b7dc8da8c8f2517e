"""The type-token curve: how the vocabulary grows as captions come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capfix_cli.measures.caption_tokens import Ints
from capfix_cli.measures.corpus import Counted
from capfix_cli.measures.count_variance import half_interval, types_of
from capfix_cli.measures.ngrams import ngrams_of
from capfix_cli.schemas.measurement import CurvePoint

Floats = NDArray[np.float64]


def type_token_curve(counted: Counted, points: int = 12) -> tuple[CurvePoint, ...]:
    """Give the vocabulary expected in N, N/2, N/4, ... captions, the smallest number first.

    Exact: a word that c of N captions have is missed by m of them with probability
    C(N - c, m) / C(N, m) (Hurlbert 1971, Ecology 52). Below N the interval is the jackknife's over
    captions; at N it is that of :func:`capfix_cli.measures.count_variance.types_of`.

    Args:
        counted: captions.
        points: of the curve, at most.
    """
    grams = next(ngrams_of(counted.tokens, 1))
    size, counts = counted.total, counted.counts
    if not size or not len(grams):
        return ()
    having = np.add.reduceat(counts[grams.caption], grams.starts)
    words = float(grams.sum_by_caption(grams.count) @ counts) / size
    kinds, place = np.unique(having, return_inverse=True)
    times = np.bincount(place)
    # Looked up: importing scipy.special takes longer than all measures of 100 captions.
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])
    found = []
    for step in range(points):
        m = size >> step
        if m < 1:
            break
        seen = 1.0 - _missed(size, kinds, m, factorials)
        types = float(seen @ times)
        if m == size:
            half = types_of(grams, counts).half(1.0, 0.0)
        else:
            fewer = 1.0 - _missed(size - 1, kinds, m, factorials)
            gain = (1.0 - _missed(size - 1, kinds - 1, m, factorials)) - fewer  # of a caption less
            own = -grams.sum_by_caption(grams.each(gain[place]))
            variance = float(own**2 @ counts) - float(own @ counts) ** 2 / size
            half = half_interval(variance, own, counts, 0.0)
        found.append(CurvePoint(m, words * m, types, max(0.0, types - half), types + half))
    return tuple(reversed(found))


def _missed(size: int, having: Ints, m: int, factorials: Floats) -> Floats:
    """Give C(size - c, m) / C(size, m) for each c; ``factorials`` holds ln n! up to ``size``."""
    if m > size:
        return np.zeros(len(having))
    left = size - having
    enough = left >= m
    safe = np.where(enough, left, m)
    whole = factorials[size - m] - factorials[size]
    return np.where(enough, np.exp(factorials[safe] - factorials[safe - m] + whole), 0.0)
