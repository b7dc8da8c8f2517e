"""Training clips of noise with captions of a few words: enough to see a training loop turn."""

from __future__ import annotations

import numpy as np
import torch

from capfix_cli.training.training_clips import TrainingClips

SENTENCE = "a dog barks loudly then rain falls on the roof and an engine hums far away"
WORDS = SENTENCE.split()


def made_clips(count: int = 24) -> TrainingClips:
    """Make clips of noise, 5 to 11 frames of 64 bands, each with three captions of known words."""
    generator = np.random.default_rng(0)
    features = [
        torch.from_numpy(generator.standard_normal((int(n), 64))).half()
        for n in generator.integers(5, 12, count)
    ]
    captions = [
        [" ".join(generator.choice(WORDS, int(size))) for size in generator.integers(2, 7, 3)]
        for _ in range(count)
    ]
    return TrainingClips(features, captions, names=[f"{n:02d}.wav" for n in range(count)])
