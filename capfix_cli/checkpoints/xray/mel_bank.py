"""Mel filter banks: computing them, and finding which settings one was computed with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from capfix_cli.checkpoints.formats.tensor_values import Values
from capfix_cli.core.thresholds import Threshold

# Hz. What front ends of audio models use; others leave the fit undecided.
SAMPLE_RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
LOWEST = (0, 10, 20, 27.5, 30, 32.7, 40, 50, 55, 60, 64, 65.4, 80, 90, 100, 120, 125, 150, 200)
HIGHEST = (
    *(3_000, 3_400, 3_800, 4_000, 5_000, 5_500, 6_000, 7_000, 7_500, 7_600, 7_800, 8_000, 8_192),
    *(9_000, 10_000, 11_000, 11_025, 12_000, 14_000, 15_000, 15_360, 16_000, 18_000, 20_000),
    *(22_000, 22_050, 24_000),
)
SCALES = ("htk", "slaney")
LARGEST = 10.0  # no filter reaches 2 unless it is narrower than a Hz
FIT = Threshold(
    1e-2,
    "of a filter's peak",
    "ours, calibrated by benchmarks/calibration/mel_settings.py: banks of librosa and "
    "torchaudio differ from these by 1.6e-5 at most, bfloat16 rounds by 4e-3, the next usual "
    "settings differ by 4e-2",
)


@dataclass(frozen=True)
class MelSettings:
    """What a mel filter bank was computed with.

    Attributes:
        sample_rate: in Hz.
        f_min: lower edge of the lowest filter, in Hz.
        f_max: upper edge of the highest filter, in Hz.
        scale: ``htk`` or ``slaney``.
        by_area: whether every filter was divided by its width (librosa's ``norm="slaney"``).
    """

    sample_rate: int
    f_min: float
    f_max: float
    scale: str
    by_area: bool


def to_mel(hertz: Values, scale: str) -> Values:
    """Hz to mel: O'Shaughnessy's formula as in HTK, or that of Slaney's Auditory Toolbox."""
    if scale == "htk":
        heard: Values = 2595 * np.log10(1 + hertz / 700)
        return heard
    above = 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
    return np.where(hertz < 1000, hertz * 3 / 200, above)


def to_hertz(mel: Values, scale: str) -> Values:
    """The inverse of :func:`to_mel`."""
    if scale == "htk":
        hertz: Values = 700 * (10 ** (mel / 2595) - 1)
        return hertz
    above = 1000 * np.exp((np.maximum(mel, 15) - 15) * np.log(6.4) / 27)
    return np.where(mel < 15, mel * 200 / 3, above)


def mel_bank(bins: int, bands: int, settings: MelSettings) -> Values:
    """Compute a mel filter bank: triangles over frequency, their corners evenly spaced in mel.

    Args:
        bins: of the spectrum, n_fft / 2 + 1.
        bands: n_mels.
        settings: see :class:`MelSettings`.

    Returns:
        [bins, bands], at most 1 where not divided by area.
    """
    ends = to_mel(np.array([settings.f_min, settings.f_max], dtype=np.float64), settings.scale)
    corners = to_hertz(np.linspace(ends[0], ends[1], bands + 2), settings.scale)
    frequency = np.linspace(0, settings.sample_rate / 2, bins)[:, None]
    rising = (frequency - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - frequency) / np.diff(corners)[1:]
    bank: Values = np.maximum(0, np.minimum(rising, falling))
    return bank * 2 / (corners[2:] - corners[:-2]) if settings.by_area else bank


def fit_mel_bank(bank: Values) -> list[MelSettings]:
    """Find the usual settings that give a filter bank.

    Args:
        bank: [bins, bands], bins being n_fft / 2 + 1.

    Returns:
        every combination that fits, the best first; none where no usual one does.
    """
    bins, bands = bank.shape
    if bins < 2 or bands < 2 or not np.all(np.abs(bank) <= LARGEST):  # NaN is not either
        return []
    heard = np.flatnonzero(bank.max(axis=1) > 0)
    if not len(heard):
        return []
    found = []
    for settings in _candidates(bins, int(heard[0]), int(heard[-1])):
        error = _difference(bank, mel_bank(bins, bands, settings))
        if error <= FIT.value:
            found.append((error, settings))
    return [settings for _, settings in sorted(found, key=lambda pair: pair[0])]


def _difference(bank: Values, other: Values) -> float:
    """Largest difference, relative to each filter's peak in the other bank."""
    peaks = other.max(axis=0)
    if np.any((peaks > 0) != (bank.max(axis=0) > 0)):
        return float("inf")
    return float(np.max(np.abs(bank - other) / np.where(peaks > 0, peaks, 1)))


def _candidates(bins: int, first: int, last: int) -> Iterator[MelSettings]:
    """Give usual settings whose outer edges fall beside the outermost bins that are heard."""
    for rate in SAMPLE_RATES:
        step = rate / 2 / (bins - 1)
        near = 1e-3 * step  # float32 may put an edge just beyond a bin that it should fall on
        lows = [f for f in LOWEST if (first - 1) * step - near <= f <= first * step + near]
        highs = [f for f in sorted({*HIGHEST, rate / 2}) if f <= rate / 2]
        highs = [f for f in highs if last * step - near <= f <= (last + 1) * step + near]
        for low in lows:
            for high in highs:
                for scale in SCALES:
                    for by_area in (False, True):
                        yield MelSettings(rate, float(low), float(high), scale, by_area)
