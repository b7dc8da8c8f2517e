"""How a share rises over training, as pure functions of progress from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

STEEPNESS = 10.0  # k of the inverse sigmoid: the share starts flat and rises around the middle


def linear(progress: float) -> float:
    """Rise evenly.

    >>> linear(0.25)
    0.25
    """
    return min(1.0, max(0.0, progress))


def inverse_sigmoid(progress: float) -> float:
    """Rise along 1 - k / (k + exp(i / k)) (Bengio et al. 2015, arXiv 1506.03099, section 2.4).

    The count of steps i is scaled so that half is reached half way, and the ends are moved to 0
    and 1, which the sigmoid itself misses by 1 / (1 + k).

    >>> [round(inverse_sigmoid(p), 2) for p in (0, 0.25, 0.5, 0.75, 1)]
    [0.0, 0.18, 0.5, 0.82, 1.0]
    """
    k = STEEPNESS

    def share(at: float) -> float:
        return 1 - k / (k + math.exp(2 * math.log(k) * at))

    low, high = share(0.0), share(1.0)
    return (share(linear(progress)) - low) / (high - low)


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "linear": linear,
    "inverse-sigmoid": inverse_sigmoid,
}


def sampling_share(final: float, schedule: str, progress: float) -> float:
    """Share of predicted words at this point of training, from 0 to ``final`` (fix 3.2)."""
    return final * SCHEDULES[schedule](progress)


def competence(progress: float, start: float = 0.1, whole: float = 0.5) -> float:
    """Share of the captions, shortest first, that may be used (Platanios et al., arXiv 1903.09848).

    c(t) = min(1, sqrt(t (1 - c0^2) / T + c0^2)): their square-root form.

    Args:
        progress: t as a share of the budget.
        start: c0; the paper's is .01, of millions of sentences.
        whole: T, as a share of the budget; from then on every caption is used.

    >>> [round(competence(p), 2) for p in (0, 0.25, 0.5, 1)]
    [0.1, 0.71, 1.0, 1.0]
    """
    return min(1.0, math.sqrt(progress * (1 - start**2) / whole + start**2))


def thirds(progress: float) -> float:
    """Shares of the captions of the document's curriculum: epochs 1-10, 11-20 and 21 on of 30."""
    return min(3, 1 + int(3 * progress)) / 3


CURRICULA: Mapping[str, Callable[[float], float]] = {
    "none": lambda progress: 1.0,
    "thirds": thirds,
    "competence": competence,
}
