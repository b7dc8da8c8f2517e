"""How far counts of distinct things would move if other captions were drawn: formulas, no draws.

The bootstrap cannot say it: it draws captions twice, and so sees fewer distinct things.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.randomness import stream
from capfix_cli.measures.caption_tokens import Ints
from capfix_cli.measures.intervals import Z, student
from capfix_cli.measures.ngrams import Ngrams, changes, spans

Floats = NDArray[np.float64]
Interval = tuple[float, float]

DEEPEST = 12  # terms of the alternating sums; further ones are noise
TOP_DRAWN = 1000  # commonest captions that are drawn again
TOP_DRAWS = 400
# P(Binomial(12, 0.7) >= k): 1 for the first terms, and fading out (Efron & Thisted 1976,
# Biometrika 63, fade their alternating sum so)
_FADE = [
    sum(math.comb(DEEPEST, j) * 0.7**j * 0.3 ** (DEEPEST - j) for j in range(k, DEEPEST + 1))
    for k in range(DEEPEST + 1)
]
_SIGNS = np.array([0.0] + [(-1) ** (k + 1) * _FADE[k] for k in range(1, DEEPEST + 1)])


@dataclass(frozen=True, eq=False)
class Types:
    """Distinct n-grams, all n-grams, and how both vary between draws of as many captions.

    Attributes:
        distinct: D, distinct n-grams.
        total: W, n-grams.
        held: [captions] distinct n-grams that only this caption has.
        own: [captions] n-grams of each.
        counts: [captions] how often each was said.
        alone: variance of D if the number of captions were Poisson.
    """

    distinct: int
    total: int
    held: Floats
    own: Floats
    counts: Ints
    alone: float

    def half(self, by_distinct: float, by_total: float) -> float:
        """Give half the 95 % interval of a function of D and W that has these slopes."""
        once = float(self.held @ self.counts)
        size = int(self.counts.sum())
        both = float((self.held * self.counts) @ self.own) - once * self.total / size
        own = float(self.own**2 @ self.counts) - self.total**2 / size
        variance = (
            by_distinct**2 * (self.alone - once**2 / size)
            + 2 * by_distinct * by_total * both
            + by_total**2 * own
        )
        steps = by_distinct * self.held + by_total * self.own
        # One n-gram more is the smallest step there is, however little single captions move it now.
        return half_interval(variance, steps, self.counts, abs(by_distinct), floor=True)


def half_interval(
    variance: float, steps: Floats, counts: Ints, least: float, floor: bool = False
) -> float:
    """Give half of a 95 % interval from a variance and the steps in which a figure moves.

    A figure that moves in few large steps is not normal. As Wilson's interval of a share does, a
    quarter of z^2 steps is added to the variance, the size of a step being the third moment of
    what single captions add over the second.

    Args:
        variance: of the figure.
        steps: [captions] what each caption adds to it.
        counts: [captions] how often each was said.
        least: size of a step where all captions add the same.
        floor: whether no step is smaller than that.
    """
    size = int(counts.sum())
    centred = np.abs(steps - float(steps @ counts) / size)
    second = float(centred**2 @ counts)
    varied = second > 1e-12 * least**2  # more than rounding
    step = float(centred**3 @ counts) / second if varied else least
    step = max(step, least) if floor else step
    return student(size - 1) * math.sqrt(max(0.0, variance) + Z**2 / 4 * step**2)


def types_of(grams: Ngrams, counts: Ints) -> Types:
    r"""Count distinct n-grams and estimate the variance of that count, without bias.

    Captions are drawn independently, n-grams are not: those of a caption come together. With
    :math:`t_S` the n-grams that exactly the captions S have, and a Poisson number of captions,

    .. math:: \mathrm{E} \sum_S (-1)^{|S|+1} t_S^2 = \sum_{j,k} e^{-\mu_j-\mu_k}(e^{\mu_{jk}} - 1)
              = \mathrm{Var}(D),

    where an n-gram j is expected in :math:`\mu_j` captions and j and k together in
    :math:`\mu_{jk}`. For n-grams that come alone it is Good and Toulmin's alternating sum (1956,
    Biometrika 43) of how many were seen once, twice, ... The covariance with W is the sum over
    captions of the n-grams that only it has, times its n-grams (Mecke's formula). Drawing exactly
    N captions takes :math:`(\sum_i \Delta_i)^2 / N` off, with :math:`\Delta_i` what caption i adds.

    Args:
        grams: n-grams of one length.
        counts: [captions] how often each caption was said.
    """
    own = grams.sum_by_caption(grams.count)
    if not len(grams):
        return Types(0, 0, np.zeros(grams.captions), own, counts, 0.0)
    support = np.add.reduceat(counts[grams.caption], grams.starts)
    names = np.random.default_rng(0).integers(0, 2**63, grams.captions, np.uint64)
    sets = np.add.reduceat(names[grams.caption], grams.starts)
    held = grams.sum_by_caption(grams.each(support == 1))
    few = support <= DEEPEST
    alone = _alternating(sets[few], support[few])
    return Types(len(grams), round(float(own @ counts)), held, own, counts, alone)


def _alternating(sets: NDArray[np.uint64], support: Ints) -> float:
    """Sum the squares of how many n-grams each set of captions has, sign by the set's size."""
    order = np.argsort(sets)
    ranked = sets[order]
    starts = np.flatnonzero(changes(ranked))
    together = spans(starts, len(ranked)).astype(np.float64)
    return float(_SIGNS[support[order[starts]]] @ together**2)


def additive_half(counts: Ints, table: Floats) -> float:
    r"""Give half the 95 % interval of a sum over captions of a function of their counts.

    The same formula for any f: with a Poisson number of captions,

    .. math:: \mathrm{Var} \sum_k f(c_k) = \mathrm{E} \sum_k \sum_r (-1)^{r+1} \binom{c_k}{r}
              (\nabla^r f(c_k))^2.

    Args:
        counts: [captions] how often each was said.
        table: [largest count + 1] f.
    """
    found, times = np.unique(counts, return_counts=True)
    variance = 0.0
    first = np.zeros(len(found))
    for place, (count, many) in enumerate(zip(found.tolist(), times.tolist(), strict=True)):
        # differences of high order are rounding noise where f is smooth, and next to nothing
        deepest = min(count, DEEPEST if count <= 2 * DEEPEST else 2)
        steps = table[count - deepest : count + 1]
        for r in range(1, deepest + 1):
            steps = np.diff(steps)
            if r == 1:
                first[place] = steps[-1]
            variance += many * float(_SIGNS[r]) * math.comb(count, r) * float(steps[-1]) ** 2
    size = int(counts.sum())
    variance -= float((first * found) @ times) ** 2 / size
    steps = first[np.searchsorted(found, counts)]
    least = abs(float(table[2] - 2 * table[1])) if len(table) > 2 else 0.0  # one caption twice
    return half_interval(variance, steps, counts, least)


def top_share_half(counts: Ints, k: int, seed: int) -> float:
    """Give half the 95 % interval of the share of the k commonest captions.

    Counts are drawn again around what each caption's count should be: those seen rarely are
    seen by luck, so theirs are shrunk until they leave room for the captions not seen (Chao & Jost
    2015, Methods in Ecology and Evolution 6).
    """
    size = int(counts.sum())
    once = float((counts == 1).sum())
    shares = np.sort(counts)[::-1][:TOP_DRAWN] / size
    luck = float((counts / size) @ (1 - counts / size) ** size)
    shrink: float = min(1.0, once / size / luck) if luck > 0 else 0.0
    rates = shares * (1 - shrink * (1 - shares) ** size)
    rates = np.append(rates, max(0.0, 1.0 - float(rates.sum())))  # the rest, as if it were one
    drawn = stream(seed, "measures.top-counts", size, k).multinomial(
        size, rates / rates.sum(), TOP_DRAWS
    )
    ranked = np.sort(drawn[:, :-1], axis=1)
    spread = float(ranked[:, -k:].sum(1).var()) / size**2
    return student(size - 1) * math.sqrt(spread + Z**2 / 4 / size**2)
