"""95 % intervals of measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Z = 1.959964  # two-sided 95 % of a normal distribution
HALVES = 100
BOOTSTRAPS = 1000

Item = TypeVar("Item")


def half_sample_interval(
    items: Sequence[Item],
    statistic: Callable[[Sequence[Item]], float],
    seed: int,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float]:
    """Interval of a statistic that repeats would bias, such as a share of distinct captions.

    The bootstrap draws items twice and so sees fewer distinct ones; the delete-half jackknife
    does not. With half of the items deleted, the spread of the statistic over the halves is its
    standard error (Shao & Wu 1989, Annals of Statistics 17).
    """
    generator = np.random.default_rng([seed, len(items)])
    half = max(2, len(items) // 2)
    values = []
    for _ in range(HALVES):
        index = generator.permutation(len(items))[:half]
        values.append(statistic([items[i] for i in index.tolist()]))
    error = Z * float(np.std(values))
    value = statistic(items)
    return max(bounds[0], value - error), min(bounds[1], value + error)


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.float64], seed: int
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over clips (Efron 1979)."""
    array = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng([seed, len(array)])
    means = [
        float(array[generator.integers(0, len(array), len(array))].mean())
        for _ in range(BOOTSTRAPS)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
