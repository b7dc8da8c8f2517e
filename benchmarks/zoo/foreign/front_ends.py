"""Front ends of other habits: natural log, compressed log, decibels, cepstra, at several rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torchaudio
from torch import Tensor

Scale = Literal["ln", "db", "compressed", "mfcc"]
Normal = Literal["none", "whole", "bands", "clip", "fixed"]
_CEPSTRA = 24


@dataclass(frozen=True)
class FrontEnd:
    """Waveforms to normalised features, time before frequency.

    Attributes:
        rate: of the waveforms, in Hz.
        n_fft: of the window, in samples.
        hop: between frames, in samples.
        mels: bands.
        scale: of the mel power: ``ln``, ``db`` (10 log10), ``compressed`` (ln(1 + 1000 x)) or
            ``mfcc`` (cosine transform of ln).
        normal: by mean and deviation over all (``whole``) or of each band (``bands``) of the
            training clips, by each band's mean over the clip (``clip``), by two numbers as in
            many a repository (``fixed``), or not.
        window: True where every clip is cut or zero-padded to one length before all else.
    """

    rate: int
    n_fft: int
    hop: int
    mels: int
    scale: Scale
    normal: Normal
    window: bool = False

    @property
    def width(self) -> int:
        """Features a frame."""
        return _CEPSTRA if self.scale == "mfcc" else self.mels

    def mel(self, waveforms: Tensor) -> Tensor:
        """[B, samples] -> mel power [B, T, mels]; zeros stand before and after a clip."""
        window = torch.hann_window(self.n_fft)
        spectrum = torch.stft(
            waveforms,
            self.n_fft,
            self.hop,
            window=window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        bank = torchaudio.functional.melscale_fbanks(
            self.n_fft // 2 + 1, 40.0, self.rate / 2, self.mels, self.rate
        )
        power: Tensor = spectrum.abs().square().transpose(1, 2) @ bank
        return power

    def scaled(self, power: Tensor) -> Tensor:
        """[B, T, mels] -> [B, T, width] on the scale of the network's training."""
        if self.scale == "compressed":
            return torch.log1p(1000.0 * power)
        if self.scale == "db":
            return 10.0 * torch.log10(power.clamp_min(1e-8))
        logs = torch.log(power + 1e-5)
        if self.scale == "ln":
            return logs
        transform = torchaudio.functional.create_dct(_CEPSTRA, self.mels, "ortho")
        cepstra: Tensor = logs @ transform
        return cepstra

    def normalised(self, features: Tensor, lengths: Tensor, stats: Tensor) -> Tensor:
        """Normalise [B, T, width]; ``stats`` [2, width] are mean and deviation in training."""
        if self.normal == "none":
            return features
        if self.normal == "fixed":
            return (features + 30.0) / 30.0
        if self.normal == "clip":
            inside = inside_of(features, lengths).unsqueeze(2)
            mean = (features * inside).sum(1, keepdim=True) / inside.sum(1, keepdim=True)
            return (features - mean) / 3.0
        middle, deviation = stats[0], stats[1]
        if self.normal == "whole":
            return (features - middle.mean()) / deviation.square().mean().sqrt()
        return (features - middle) / deviation

    def cut(self, waveforms: Tensor, lengths: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Bring all clips to one length where it is this front end's habit."""
        if not self.window:
            return waveforms, lengths
        missing = samples - waveforms.shape[1]
        waveforms = torch.nn.functional.pad(waveforms, (0, max(0, missing)))[:, :samples]
        return waveforms, torch.full_like(lengths, samples)

    def frames(self, lengths: Tensor) -> Tensor:
        """[B] samples -> [B] frames."""
        return lengths // self.hop + 1


def inside_of(frames: Tensor, lengths: Tensor) -> Tensor:
    """[B, T, ...] and [B] -> [B, T], True inside a clip."""
    return torch.arange(frames.shape[1]).unsqueeze(0) < lengths.unsqueeze(1)


# What a front end of another habit would have given: each takes features on the network's scale.
_TO_NATURAL = {"ln": 1.0, "mfcc": 1.0, "db": math.log(10) / 10, "compressed": 1.0}
_AS = {"ln": 1.0, "log10": 1 / math.log(10), "db": 10 / math.log(10)}


def on_scale(front_end: FrontEnd, name: str) -> float | None:
    """Give the factor that brings features to ``ln``, ``log10`` or ``db``; None where they are."""
    factor = _TO_NATURAL[front_end.scale] * _AS[name]
    return None if abs(factor - 1.0) < 1e-6 else factor
