"""Altered copies of clips (fix 3.4): what they are made by, and the key they are cached under."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from capfix_cli.audio.audio_batches import Waveform, read_waveform
from capfix_cli.audio.clip_set import open_clips
from capfix_cli.core.errors import CapfixError
from capfix_cli.training.augment.waveform_augment import alter, draw_alteration
from capfix_cli.training.training_config import AugmentationOptions

MOST_RECORDINGS = 64  # of a noise folder that are kept in memory


@dataclass(frozen=True)
class Variants:
    """Makes the copies.

    Attributes:
        options: what may be altered and by how much.
        seed: of the draws.
        recordings: to cut noise from.
    """

    options: AugmentationOptions
    seed: int
    recordings: Sequence[Tensor] = ()

    @property
    def count(self) -> int:
        """Copies of each clip."""
        return self.options.variants

    def key(self, name: str, copy: int) -> str:
        """Name a copy by all that decides it beside the clip's own bytes."""
        drawn = dataclasses.astuple(draw_alteration(self.options, self.seed, name, copy))
        noise = (self.options.noise_snr, self.options.noise_folder)
        text = repr((drawn, noise)).encode()
        return hashlib.blake2b(text, digest_size=6).hexdigest()

    def alter(self, name: str, samples: Tensor, sample_rate: int, copy: int) -> Tensor:
        """Make a copy of a clip: [samples] -> [other samples]."""
        alteration = draw_alteration(self.options, self.seed, name, copy)
        with torch.inference_mode():
            return alter(samples, sample_rate, alteration, self.options, self.recordings).clone()


def make_variants(options: AugmentationOptions, seed: int, sample_rate: int) -> Variants | None:
    """Prepare the copies; None where the recipe asks for none.

    Args:
        options: how many copies, and what may be altered.
        seed: of the draws.
        sample_rate: Hz of the recordings that noise is cut from.

    Raises:
        CapfixError: the folder of noises cannot be used.
    """
    if not options.variants:
        return None
    if not options.noise_folder or not options.noise_share:
        return Variants(options, seed)
    some = open_clips(options.noise_folder).clips[:MOST_RECORDINGS]
    read = (read_waveform(clip, sample_rate, sample_rate // 10) for clip in some)
    recordings = [wave.samples for wave in read if isinstance(wave, Waveform)]
    if not recordings:
        raise CapfixError(
            f"None of the recordings in {options.noise_folder} can be used as noise.",
            "Name another augmentation.noise_folder, or none for pink noise.",
        )
    return Variants(options, seed, recordings)
