"""Whether rows fit their own caption best, or that of a row beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.thresholds import MIN_SHIFT_ROWS, SHIFT_SIGMA
from capfix_cli.diagnosis.causes.finding import against_threshold
from capfix_cli.schemas.measured_values import Evidence

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Offsets = dict[int, Floats]  # rows on -> [rows] fit to the caption there
REACH = 3  # rows to each side


@dataclass(frozen=True)
class Shift:
    """What the fits of rows to the captions around them say.

    Attributes:
        answer: ``own`` captions fit best, those of another row (``shifted``), none fits better
            than chance though it should (``none``), or too few rows can tell (``few``).
        offset: rows by which captions are off; 0 where they are not.
        first: first row of the stretch that is off.
        last: its last row.
        sigma: how many standard errors own captions fit better than chance.
        evidence: the figures.
        telling: rows that could tell.
        what: was compared.
    """

    answer: str
    offset: int
    first: int
    last: int
    sigma: float
    evidence: tuple[Evidence, ...]
    telling: int = 0
    what: str = ""

    @property
    def rows(self) -> int:
        """Rows of the stretch that is off."""
        return self.last - self.first + 1 if self.offset else 0


def judge_fits(fits: Offsets, chance: Floats, what: str) -> Shift:
    """Find a stretch of rows, or all of them, whose clips fit another row's caption better.

    For each offset, row by row, the own caption's fit is taken from the other's. The stretch with
    the largest sum is found, and its sum held against that of as many independent rows; a row
    that was lost half way through a file is so found where it was lost. In a sound file the sum
    is negative nearly everywhere.

    Args:
        fits: offset in rows (0 is the own row) -> [rows] fit to the caption so many rows on; NaN
            where there is none. Rows that cannot tell are left out beforehand.
        chance: [rows] mean fit to captions elsewhere.
        what: is compared, for the evidence.
    """
    own = fits[0]
    rows = int(np.isfinite(own).sum())
    if rows < MIN_SHIFT_ROWS.value:
        few = against_threshold(f"{what}: rows that can tell", rows, MIN_SHIFT_ROWS)
        return Shift("few", 0, 0, 0, 0.0, (few,), rows, what)
    above = _sigma(own - chance)
    evidence = [
        Evidence(f"{what}: mean fit to the own caption", _mean(own)),
        Evidence(f"{what}: mean fit to captions elsewhere", _mean(chance)),
    ]
    best = max(
        (_stretch(fit - own, fit - chance, offset) for offset, fit in fits.items() if offset),
        key=lambda found: found[0],
    )
    sigma, offset, first, last = best
    evidence += [
        against_threshold(
            f"{what}: by how much own captions fit better than chance", round(above, 2), SHIFT_SIGMA
        )
    ]
    if sigma > SHIFT_SIGMA.value:
        part = slice(first, last + 1)
        evidence += [
            against_threshold(
                f"{what}: by how much the caption {offset:+d} rows on fits better, in rows"
                f" {first + 1} to {last + 1}",
                round(sigma, 2),
                SHIFT_SIGMA,
            ),
            Evidence(f"{what}: mean fit to that caption there", _mean(fits[offset][part])),
            Evidence(f"{what}: mean fit to the own caption there", _mean(own[part])),
        ]
        return Shift("shifted", offset, first, last, above, tuple(evidence), rows, what)
    answer = "own" if above > SHIFT_SIGMA.value else "none"
    return Shift(answer, 0, 0, 0, above, tuple(evidence), rows, what)


def _stretch(over_own: Floats, over_chance: Floats, offset: int) -> tuple[float, int, int, int]:
    """Find the rows where another caption fits better: standard errors, offset, first, last row.

    The lesser of two counts: better than the own caption, and better than chance.
    """
    gains = np.nan_to_num(over_own)
    sums = np.concatenate(([0.0], np.cumsum(gains)))
    lowest = np.minimum.accumulate(sums)
    last = int(np.argmax(sums[1:] - lowest[:-1]))
    before = sums[: last + 1]
    first = last - int(np.argmin(before[::-1]))  # the last of equal ones: rows that tell nothing
    part = slice(first, last + 1)
    if np.isfinite(over_own[part]).sum() < MIN_SHIFT_ROWS.value:
        return 0.0, offset, first, last
    return min(_sigma(over_own[part]), _sigma(over_chance[part])), offset, first, last


def _sigma(values: Floats) -> float:
    """Give the mean over its standard error."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return 0.0
    mean = float(values.mean())
    # Perfect fits do not vary at all; a tenth of the mean is far below what real ones vary.
    spread = max(float(values.std()), abs(mean) / 10)
    return mean / spread * math.sqrt(len(values)) if spread else 0.0


def _mean(values: Floats) -> float:
    return float(np.nanmean(values))
