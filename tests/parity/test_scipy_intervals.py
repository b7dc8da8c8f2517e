"""Student's t and Wilson's interval: equal to scipy.stats, near to the formulas they replaced."""

from __future__ import annotations

import math

import pytest
from scipy import special, stats

from capfix_cli.measures.intervals import Z, mean_interval, share_interval, student

EXACT = 1e-9
SIZES = (1, 2, 5, 20, 37, 100, 1_000, 50_000)
OLD_Z = 1.959964


def old_student(freedom: float) -> float:
    """The series that stood here to version 0.1: Cornish & Fisher's, cut off after two terms."""
    freedom, z = max(3.0, freedom), OLD_Z
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def old_share_interval(hits: int, size: int) -> tuple[float, float]:
    share = hits / size
    middle = share + OLD_Z**2 / (2 * size)
    half = OLD_Z * math.sqrt(share * (1 - share) / size + OLD_Z**2 / (4 * size**2))
    scale = 1 + OLD_Z**2 / size
    low = 0.0 if not hits else (middle - half) / scale
    return low, 1.0 if hits == size else (middle + half) / scale


def test_the_quantile_of_a_normal_distribution_is_scipys():
    assert float(special.ndtri(0.975)) == Z


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 10, 19, 59, 199, 4_999, 10**6])
def test_students_quantile_is_scipys(freedom):
    assert student(freedom) == pytest.approx(float(stats.t.ppf(0.975, freedom)), abs=EXACT)


@pytest.mark.parametrize("size", SIZES)
def test_wilsons_interval_is_scipys(size):
    for hits in {0, 1, size // 3, size // 2, size - 1, size}:
        expected = stats.binomtest(hits, size).proportion_ci(method="wilson")
        assert share_interval(hits, size) == pytest.approx(tuple(expected), abs=EXACT)


def test_the_interval_of_a_mean_is_scipys():
    values = [0.1, 0.5, 0.2, 0.9, 0.4]
    expected = stats.t.interval(0.95, 4, loc=0.42, scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected, abs=EXACT)


def test_wilsons_interval_moved_by_less_than_what_the_old_z_was_rounded_by():
    for size in SIZES:
        for hits in range(0, size + 1, max(1, size // 50)):
            old = old_share_interval(hits, size)
            assert share_interval(hits, size) == pytest.approx(old, abs=OLD_Z - Z)


@pytest.mark.parametrize(
    ("clips", "most"), [(20, 1.9e-4), (50, 1.2e-5), (200, 1.6e-7), (1_000, 1e-8)]
)
def test_students_interval_moved_by_what_the_series_was_cut_off_by(clips, most):
    """The smallest folder that is judged has 20 clips; there intervals grew by 0.02 %."""
    assert student(clips - 1) == pytest.approx(old_student(clips - 1), rel=most)
