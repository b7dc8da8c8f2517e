"""Clips altered for a captioner that is only asked: quieter, with halves exchanged, without sound.

A copy's file has a name that tells nothing, so that a captioner that knows clips by name is seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from capfix_cli.captioners.text.text_captioner import GivenClip

QUIETER = -3.0  # dB: half the power, which changes every sample and nothing that is heard
FAINT = -30.0  # dB: of noise beside a clip; recordings have more of their own
FAR = -20.0  # dB: a tenth of the amplitude, still far above the steps of 16-bit audio


def altered(
    clip: GivenClip, change: Callable[[Tensor], Tensor], what: str, name: str | None = None
) -> GivenClip:
    """Make a copy of a clip with other samples, under no name of its own.

    Args:
        clip: as it is.
        change: [samples] -> [samples].
        what: was done, so that it is told from other copies.
        name: for errors; the clip's own if None.
    """
    samples = change(clip.samples).to(torch.float32)
    digest = hashlib.blake2b(samples.numpy().tobytes(), digest_size=12)
    digest.update(what.encode())
    return replace(
        clip, name=name or clip.name, samples=samples, digest=digest.hexdigest(), path=None
    )


def _factor(decibels: float) -> float:
    return float(10.0 ** (decibels / 20.0))


def copied(clip: GivenClip) -> GivenClip:
    """The same samples under another name."""
    return altered(clip, lambda samples: samples, "copy")


def at_level(clip: GivenClip, decibels: float) -> GivenClip:
    """The same sound, louder or softer."""
    return altered(clip, lambda samples: samples * _factor(decibels), f"level {decibels:g}")


def hardly_altered(clip: GivenClip) -> GivenClip:
    """The same sound 3 dB quieter, with white noise 30 dB below it.

    Of the demo's captioners one that hears keeps 3.2 of 4.4 bits so, and one that is deaf but for
    ties between words, which any change of the level leaves as they are, falls from 1.9 to 0.7.
    """
    generator = np.random.default_rng(int(clip.digest[:12], 16))

    def change(samples: Tensor) -> Tensor:
        drawn = torch.from_numpy(generator.standard_normal(len(samples)))
        level = float(samples.square().mean().sqrt())
        return (samples + level * _factor(FAINT) * drawn) * _factor(QUIETER)

    return altered(clip, change, "quieter, faint noise")


def halves_exchanged(clip: GivenClip) -> GivenClip:
    """The second half before the first."""
    middle = len(clip.samples) // 2
    return altered(clip, lambda samples: torch.cat([samples[middle:], samples[:middle]]), "halves")


def silent(clip: GivenClip) -> GivenClip:
    """As much silence."""
    return altered(clip, torch.zeros_like, "silence", "silence")


def noise(clip: GivenClip, seed: int) -> GivenClip:
    """As much white noise, as loud as the clip is (its root mean square), 0.01 at least."""
    generator = np.random.default_rng([seed, 101])
    level = max(0.01, float(clip.samples.square().mean().sqrt()))

    def change(samples: Tensor) -> Tensor:
        drawn = torch.from_numpy(generator.standard_normal(len(samples)))
        return (level * drawn).clamp(-1.0, 1.0)

    return altered(clip, change, f"noise {seed}", "noise")
