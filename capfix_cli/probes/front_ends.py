"""A front end that a network may have been trained on while it is fed something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.probes.captioner_variants import derive, on_features, on_padding, on_waveforms

Change = Callable[[Tensor], Tensor]
Cause = Literal["input.feature-scale", "input.sample-rate", "input.axes", "input.padding-value"]


@dataclass(frozen=True)
class FrontEnd:
    """A change of the input that undoes one usual mistake.

    Attributes:
        cause: that it undoes.
        expected: what training used.
        used: what is used now.
        line: the line to change, as one would write it.
        waveform: factor on the samples.
        features: change of the features; None for none.
        rate: of the audio in Hz; None for no change.
        padded: change of features by their lengths in frames; None for none.
        fitted: whether it was fitted to the network's statistics, and is no usual front end.
    """

    cause: Cause
    expected: str
    used: str
    line: str
    waveform: float = 1.0
    features: Change | None = None
    rate: int | None = None
    padded: Callable[[Tensor, Tensor], Tensor] | None = None
    fitted: bool = False

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.expected}, fed {self.used}"

    def apply(self, captioner: Captioner) -> Captioner:
        """Give the captioner with the right input."""
        changed = captioner
        if self.waveform != 1.0:
            factor = self.waveform
            changed = on_waveforms(changed, lambda samples: factor * samples)
        if self.features is not None:
            changed = on_features(changed, self.features)
        if self.padded is not None:
            changed = on_padding(changed, self.padded)
        if self.rate is not None:
            changed = derive(changed, sample_rate=self.rate)
        return changed


@dataclass(frozen=True)
class Statistics:
    """What is known of features: as they are, and as a layer's running statistics expect them.

    Attributes:
        mean: of all features of the clips.
        deviation: of them.
        least: the smallest.
        most: the largest.
        expected: mean and deviation that training had; None where nothing tells.
        ln_mel: mean and deviation of a plain ln-mel of the same clips.
        slope: deviation of the features per deviation of the ln of power, where there is sound: 1
            for ln of power, 10 / ln 10 for dB; None where it is not known.
        skew: of a band's values over a clip's frames, the median over bands and clips; whatever
            normalises each band leaves it as it is.
    """

    mean: float
    deviation: float
    least: float
    most: float
    expected: tuple[float, float] | None
    ln_mel: tuple[float, float] | None = None
    slope: float | None = None
    skew: float = 0.0


def describe_features(
    features: Tensor, expected: tuple[float, float] | None, ln_mel: Tensor | None
) -> Statistics:
    """Take the statistics that candidates are made from.

    Args:
        features: [B, frames, bands] as they are now.
        expected: mean and deviation that training had; None where nothing tells.
        ln_mel: [B, frames, bands] of the same clips, nearly as many of both; None for none.
    """
    flat = features.float()
    return Statistics(
        float(flat.mean()),
        max(float(flat.std()), 1e-12),
        float(flat.min()),
        float(flat.max()),
        expected,
        None if ln_mel is None else (float(ln_mel.mean()), float(ln_mel.std())),
        None if ln_mel is None else _slope(flat, ln_mel),
        _skew(flat) if flat.ndim == 3 else 0.0,
    )


def _skew(features: Tensor) -> float:
    """[B, frames, bands] -> the usual skewness of a band in a clip."""
    apart = features - features.mean(1, keepdim=True)
    spread = apart.square().mean(1).clamp_min(1e-20) ** 1.5
    return float((apart**3).mean(1).div(spread).median())


def _slope(features: Tensor, ln_mel: Tensor) -> float | None:
    """Compare deviations where there is sound: floors of silence differ between front ends."""
    if features.shape[2] != ln_mel.shape[2]:
        return None
    frames = min(features.shape[1], ln_mel.shape[1])
    features, ln_mel = features[:, :frames], ln_mel[:, :frames]
    sound = ln_mel > float(ln_mel.min()) + 0.1
    if int(sound.sum()) < 100:
        return None
    return float(features[sound].std() / ln_mel[sound].std().clamp_min(1e-12))
