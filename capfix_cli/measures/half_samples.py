"""Intervals of figures that no formula covers: from samples that share no caption."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from capfix_cli.core.randomness import stream
from capfix_cli.measures.caption_tokens import Ints
from capfix_cli.measures.intervals import student

PAIRS = 60
LARGEST = 500  # captions of a sample


def halves_interval(
    statistic: Callable[[Ints], float], size: int, seed: int, largest: int = LARGEST
) -> float:
    """Give half the 95 % interval of log T, T a positive statistic of N captions.

    Two samples of m <= N/2 captions that share none are independent, so half the squared
    difference of their statistics estimates the variance at m without bias, whatever the
    statistic is; duplicates do it no harm, as they do to a bootstrap. That variance times m/N is
    the variance at N. On a log scale, because T itself may grow with N, and its spread with it.

    Args:
        statistic: takes the captions' places in an order of its own.
        size: N, captions.
        seed: of the samples.
        largest: captions of a sample at most.
    """
    half = min(size // 2, largest)
    if half < 1:
        return float("inf")
    generator = stream(seed, "measures.halves", size)
    order, start = generator.permutation(size), 0
    squares = []
    for _ in range(PAIRS):
        if start + 2 * half > size:
            order, start = generator.permutation(size), 0
        one, other = order[start : start + half], order[start + half : start + 2 * half]
        squares.append(math.log(statistic(one) / statistic(other)) ** 2 / 2)
        start += 2 * half
    # pairs from the same captions are not independent: no more freedom than captions
    freedom = min(len(squares), size - 1)
    return student(freedom) * float(np.sqrt(np.mean(squares) * half / size))
