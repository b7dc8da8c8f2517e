"""95 % intervals of measures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.randomness import stream

Z = 1.959963984540054  # scipy.special.ndtri(0.975): two-sided 95 % of a normal distribution
HALVES = 100  # of the half samples of paired tests
BOOTSTRAPS = 1000


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.float64], seed: int
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over clips (Efron 1979)."""
    array = np.asarray(values, dtype=np.float64)
    generator = stream(seed, "measures.bootstrap", len(array))
    means = [
        float(array[generator.integers(0, len(array), len(array))].mean())
        for _ in range(BOOTSTRAPS)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def share_interval(hits: int, size: int) -> tuple[float, float]:
    """Wilson's interval of a share (1927, JASA 22); (0, 1) for no items.

    The closed form of ``scipy.stats.binomtest(hits, size).proportion_ci(method="wilson")``, without
    the half second that importing ``scipy.stats`` takes.

    >>> low, high = share_interval(0, 100)
    >>> low, round(high, 3)
    (0.0, 0.037)
    """
    if not size:
        return 0.0, 1.0
    share = hits / size
    middle = share + Z**2 / (2 * size)
    half = Z * math.sqrt(share * (1 - share) / size + Z**2 / (4 * size**2))
    scale = 1 + Z**2 / size
    low = 0.0 if not hits else (middle - half) / scale
    return low, 1.0 if hits == size else (middle + half) / scale


def mean_interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Student's interval of a mean over clips; no width for fewer than two."""
    array = np.asarray(values, dtype=np.float64)
    value = float(array.mean())
    if len(array) < 2:
        return value, value
    half = student(len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
    return value - half, value + half


def student(freedom: float) -> float:
    """Give the 97.5 % quantile of Student's t; one degree of freedom where there is none."""
    from scipy.special import stdtrit  # the quantile of scipy.stats.t, which is slow to import

    return float(stdtrit(max(1.0, freedom), 0.975))
