"""Augmentation of features (fix 3.4): SpecAugment masks and mixup of clips."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def mask(frames: Tensor, bands: int, share: float, generator: np.random.Generator) -> Tensor:
    """Mask one stretch of bands and one of frames by the clip's mean.

    SpecAugment (arXiv 1904.08779) with one mask of each kind.

    Args:
        frames: [T, bands] log-mel of one clip.
        bands: most bands masked.
        share: largest share of the frames masked.
        generator: draws widths and places.
    """
    out = frames.clone()
    fill = frames.mean()
    length, height = frames.shape
    for axis, widest, size in ((1, min(bands, height), height), (0, int(share * length), length)):
        width = int(generator.integers(widest + 1))
        start = int(generator.integers(size - width + 1))
        out.narrow(axis, start, width).copy_(fill.expand_as(out.narrow(axis, start, width)))
    return out


def draw_mix(size: int, alpha: float, generator: np.random.Generator) -> tuple[list[int], Tensor]:
    """Draw for each clip of a batch a partner and the share that its own sound keeps.

    Shares are of a Beta(alpha, alpha), turned so that the clip itself keeps at least half: its
    caption stays the more important one.

    Returns:
        Partners by place, and [size] float32 shares in [.5, 1].
    """
    partners = generator.permutation(size).tolist()
    shares = generator.beta(alpha, alpha, size)
    return partners, torch.from_numpy(np.maximum(shares, 1 - shares).astype(np.float32))


def mix(own: Tensor, other: Tensor, share: float) -> Tensor:
    """Mix two log-mel clips as sounds mix: their powers add, weighed by ``share``.

    Shape: [T1, bands], [T2, bands] -> [max(T1, T2), bands]; beyond a clip's end it adds nothing.
    Waveforms, [samples] each, are added as they are.
    """
    if share >= 1:
        return own
    if own.ndim == 1:
        sizes = max(len(own), len(other))
        padded = (torch.nn.functional.pad(wave, (0, sizes - len(wave))) for wave in (own, other))
        first, second = padded
        return share * first + (1 - share) * second
    length = max(len(own), len(other))
    longer = []
    for frames, part in ((own, share), (other, 1 - share)):
        rest = frames.new_full((length - len(frames), frames.shape[1]), -math.inf)
        longer.append(torch.cat([frames, rest]) + math.log(max(part, 1e-12)))
    return torch.logaddexp(*longer).clamp(min=float(min(own.min(), other.min())))
