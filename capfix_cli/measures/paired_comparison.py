"""Two files of captions on the same clips: differences with paired intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.randomness import stream
from capfix_cli.measures.intervals import BOOTSTRAPS, HALVES, Z
from capfix_cli.schemas.measurement import Difference

Floats = NDArray[np.float64]


def paired_means(first: Floats, second: Floats, seed: int) -> Difference:
    """Difference of two means over the same clips, by the paired bootstrap.

    Clips are drawn with replacement, the same for both files; p is twice the smaller share of
    draws on one side of zero (Efron & Tibshirani 1993, chapter 16).
    """
    apart = second - first
    generator = stream(seed, "paired.bootstrap", len(apart))
    means = np.array(
        [
            apart[generator.integers(0, len(apart), len(apart))].mean() if len(apart) else 0.0
            for _ in range(BOOTSTRAPS)
        ]
    )
    low, high = np.percentile(means, [2.5, 97.5])
    tail = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (tail + 1) / (BOOTSTRAPS + 1))
    return Difference(
        float(first.mean()), float(second.mean()), float(apart.mean()), float(low), float(high), p
    )


def paired_statistic(
    first: Sequence[str],
    second: Sequence[str],
    statistic: Callable[[Sequence[str]], float],
    seed: int,
) -> Difference:
    """Difference of a statistic that repeats would bias, such as distinct captions.

    A bootstrap would draw clips twice; the same halves of the clips are taken from both files
    instead, and the spread of the difference over halves is its standard error (the delete-half
    jackknife, Shao & Wu 1989).
    """
    total = len(first)
    values = (statistic(first), statistic(second))
    generator = stream(seed, "paired.halves", total)
    apart = []
    for _ in range(HALVES):
        index = generator.permutation(total)[: max(2, total // 2)].tolist()
        apart.append(statistic([second[i] for i in index]) - statistic([first[i] for i in index]))
    error = float(np.std(apart))
    difference = values[1] - values[0]
    p = 1.0 if difference == 0 else 0.0
    if error > 0:
        p = math.erfc(abs(difference) / error / math.sqrt(2))
    margin = Z * error
    return Difference(*values, difference, difference - margin, difference + margin, p)
