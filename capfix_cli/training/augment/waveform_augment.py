"""Augmentation of waveforms (fix 3.4): speed at the same pitch, pitch at the same speed, noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torchaudio
from torch import Tensor

from capfix_cli.core.randomness import stream
from capfix_cli.training.training_config import AugmentationOptions

WINDOW = 1024  # samples of the vocoder's window: 64 ms at 16 kHz, short enough for a bark
HOP = WINDOW // 4
PEAK = 0.99  # altered clips are scaled down to it where they would clip
LOWEST = 20.0  # Hz; below it noise is nothing that a clip was recorded with


@dataclass(frozen=True)
class Alteration:
    """What is done to one copy of a clip.

    Attributes:
        speed: times as fast.
        semitones: higher, or lower below 0.
        noise: whether noise is added.
        seed: of the noise.
    """

    speed: float
    semitones: float
    noise: bool
    seed: int


def draw_alteration(options: AugmentationOptions, seed: int, clip: str, variant: int) -> Alteration:
    """Draw what one copy gets; the same clip and variant always get the same."""
    name = clip.encode("utf-8", "surrogateescape")
    generator = stream(seed, "augment.alteration", variant, *name)
    speed, semitones, noise = generator.uniform(-1, 1), generator.uniform(-1, 1), generator.random()
    return Alteration(
        1 + options.time_stretch * float(speed),
        options.pitch_semitones * float(semitones),
        bool(noise < options.noise_share),
        int(generator.integers(2**31)),
    )


def alter(
    samples: Tensor,
    sample_rate: int,
    alteration: Alteration,
    options: AugmentationOptions,
    recordings: Sequence[Tensor] = (),
) -> Tensor:
    """Alter a waveform.

    Args:
        samples: [samples] float32.
        sample_rate: Hz.
        alteration: what to do.
        options: for the ratio of clip to noise.
        recordings: to cut noise from; pink noise without.

    Returns:
        [samples / speed] float32 in [-1, 1].
    """
    out = samples
    if alteration.semitones:
        out = shift_pitch(out, sample_rate, alteration.semitones)
    if alteration.speed != 1:
        out = stretch(out, alteration.speed)
    if alteration.noise:
        generator = np.random.default_rng(alteration.seed)
        noise = _noise(len(out), sample_rate, recordings, generator)
        out = add_noise(out, noise, options.noise_snr)
    peak = float(out.abs().max()) if len(out) else 0.0
    return out * (PEAK / peak) if peak > 1 else out


def stretch(samples: Tensor, speed: float) -> Tensor:
    """Play faster or slower at the same pitch, by a phase vocoder.

    Shape: [samples] -> [round(samples / speed)].
    """
    length = round(len(samples) / speed)
    # Half a window more on either side: frames at the ends would otherwise fade.
    padded = torch.nn.functional.pad(samples, (WINDOW, WINDOW))
    window = torch.hann_window(WINDOW)
    frames = torch.stft(padded, WINDOW, HOP, window=window, return_complex=True)
    advance = torch.linspace(0, math.pi * HOP, WINDOW // 2 + 1).unsqueeze(1)
    slower = torchaudio.functional.phase_vocoder(frames, speed, advance)
    start = round(WINDOW / speed)
    whole = torch.istft(slower, WINDOW, HOP, window=window, length=start + length)
    return whole[start:]


def shift_pitch(samples: Tensor, sample_rate: int, semitones: float) -> Tensor:
    """Raise the pitch at the same speed: stretched first, then resampled.

    Shape: [samples] -> [samples].
    """
    ratio = 2 ** (semitones / 12)
    longer = stretch(samples, 1 / ratio)
    # In steps of a thousandth, finer than an ear hears: the resampler's kernel grows with the
    # terms of the fraction.
    target = max(1, round(1000 / ratio))
    shifted = torchaudio.functional.resample(longer, 1000, target)
    size = len(samples)
    shorter = shifted[:size]
    return torch.nn.functional.pad(shorter, (0, size - len(shorter)))


def add_noise(samples: Tensor, noise: Tensor, snr: float) -> Tensor:
    """Add noise so that the clip has ``snr`` decibels over it, by mean power over all of it."""
    return cast(
        Tensor,
        torchaudio.functional.add_noise(
            samples.unsqueeze(0), noise.unsqueeze(0), torch.tensor([float(snr)])
        ),
    )[0]


def pink_noise(size: int, sample_rate: int, generator: np.random.Generator) -> Tensor:
    """Noise of equal power in every octave, as rooms and streets have it: [size] float32."""
    spectrum = np.fft.rfft(generator.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    shaped = spectrum / np.sqrt(np.maximum(frequency, LOWEST)) * (frequency > 0)
    wave = np.fft.irfft(shaped, size)
    return torch.from_numpy((wave / max(float(np.abs(wave).max()), 1e-9)).astype(np.float32))


def _noise(
    size: int, sample_rate: int, recordings: Sequence[Tensor], generator: np.random.Generator
) -> Tensor:
    """Cut a stretch out of a recording, repeated where it is too short; else pink noise."""
    if not recordings:
        return pink_noise(size, sample_rate, generator)
    whole = recordings[int(generator.integers(len(recordings)))]
    whole = whole.repeat(math.ceil(size / len(whole)) + 1)
    start = int(generator.integers(len(whole) - size + 1))
    return whole[start : start + size]
