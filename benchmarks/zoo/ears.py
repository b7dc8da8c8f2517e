"""A captioner that is sound by construction: it hears two tones and names them in their order."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from capfix_cli.captioners.base import Captioner
from capfix_cli.probes.front_end_candidates import FLOOR

RATE = 8_000
PITCHES = 6
PAIRS = list(itertools.permutations(range(PITCHES), 2))  # 30 clips
PAD, BOS, EOS, THEN, FIRST = 0, 1, 2, 3, 4
NAMES = ("low", "deep", "middle", "bright", "high", "shrill")
WORDS = ["<pad>", "<bos>", "<eos>", "then", *NAMES]
BANDS, WINDOW, HOP = 16, 256, 128
TONES = [(2 * pitch + 2.5) * RATE / 2 / BANDS for pitch in range(PITCHES)]  # mid-band, Hz


def write_tones(
    folder: Path, keep: int | None = None, silent: int = 0, *, uneven: bool = False
) -> Path:
    """Write a clip of two tones for every ordered pair of pitches.

    Args:
        folder: a new one.
        keep: repeat the first so many pairs in place of all others.
        silent: make so many more clips without a sound.
        uneven: make clips of four lengths, the longest twice as long as the shortest.
    """
    folder.mkdir()
    time = np.arange(RATE // 3) / RATE
    generator = np.random.default_rng(0)
    for number in range(len(PAIRS)):
        pair = PAIRS[number % (keep or len(PAIRS))]
        longer = np.arange(len(time) * (3 + number % 4) // 3) / RATE if uneven else time
        tones = [np.sin(2 * np.pi * TONES[pitch] * longer) for pitch in pair]
        noise = 0.01 * generator.standard_normal(2 * len(longer)) * (keep is None)
        samples = 0.3 * np.concatenate(tones) + noise
        soundfile.write(folder / f"{number:02d}.wav", samples, RATE, subtype="FLOAT")
    for number in range(silent):
        path = folder / f"silent{number:02d}.wav"
        soundfile.write(path, np.zeros(RATE), RATE, subtype="FLOAT")
    return folder


def references() -> dict[str, list[str]]:
    """Say of every clip which tones it has, in order."""
    return {
        f"{number:02d}.wav": [f"{NAMES[first]} then {NAMES[second]}"]
        for number, (first, second) in enumerate(PAIRS)
    }


class Network(nn.Module):
    """Features [B, T, bands] -> how much each frame is of each pitch, [B, T, pitches]."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(BANDS, affine=False)
        assert self.norm.num_batches_tracked is not None
        self.norm.num_batches_tracked.fill_(1000)
        self.drop = nn.Dropout(0.5)
        self.tell = nn.Linear(BANDS, PITCHES)
        with torch.no_grad():
            # How far the pitch's band is from what a tone leaves there, in deviations.
            self.tell.bias.fill_(-2.19)
            self.tell.weight.fill_(0.0)
            for pitch in range(PITCHES):
                self.tell.weight[pitch, 2 * pitch + 2] = 1.0

    def forward(self, features: Tensor) -> Tensor:
        """[B, T, bands] -> [B, T, pitches]."""
        x = self.norm(features.transpose(1, 2)).transpose(1, 2)
        return torch.exp(-8 * self.tell(self.drop(x)).square())


class Ear(Captioner):
    """Attends to the first half for its first word and to the second for its third."""

    module: Network

    sample_rate = RATE
    bos_id, eos_id, pad_id = BOS, EOS, PAD
    max_length = 8
    min_samples = WINDOW
    gain = 30.0  # of attention towards one end
    sure = 9.0

    def __init__(self, folder: Path | None = None) -> None:
        self.vocabulary = list(WORDS)
        self.module = Network().eval()
        if folder is not None:
            clips = [soundfile.read(p, dtype="float32")[0] for p in sorted(folder.glob("*.wav"))]
            waveforms = torch.from_numpy(np.stack(clips))
            lengths = torch.full((len(clips),), waveforms.shape[1])
            features, _ = self.features(waveforms, lengths)
            flat = features.flatten(0, 1)
            norm = self.module.norm
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(flat.mean(0))
            norm.running_var.copy_(flat.var(0))

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, samples] -> ln of band energies, [B, T, bands], and [B] frames."""
        window = torch.hann_window(WINDOW)
        spectrum = torch.stft(
            waveforms, WINDOW, HOP, window=window, center=False, return_complex=True
        )
        power = spectrum.abs().square()[:, : WINDOW // 2]
        bands = power.reshape(len(power), BANDS, -1, power.shape[2]).mean(2).transpose(1, 2)
        return bands.clamp_min(FLOOR).log(), (lengths - WINDOW) // HOP + 1

    def encode_features(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """[B, T, bands] -> how much each frame is of each pitch, and where in the clip it is."""
        place = torch.arange(features.shape[1]).unsqueeze(0)
        mask = place < lengths.unsqueeze(1)
        return {
            "frames": self.module(features) * mask.unsqueeze(2),
            "place": place / lengths.unsqueeze(1),  # of the clip's own length
            "mask": mask,
        }

    def logits(self, prefix: Tensor, memory: dict[str, Tensor]) -> Tensor:
        """[B, T] words and the memory -> [B, V]."""
        later = (prefix == THEN).any(dim=1)
        towards = torch.where(later, 1.0, -1.0).unsqueeze(1)
        energy = self.gain * towards * (memory["place"] - 0.5)
        weights = energy.masked_fill(~memory["mask"], -1e9).softmax(dim=1)
        heard = torch.einsum("bt,btp->bp", weights, memory["frames"])
        scores = torch.full((len(prefix), len(WORDS)), -2.0)
        scores[:, FIRST:] = self.sure * heard
        # After a pitch comes "then", after the second the end: the words before decide it.
        named = prefix[:, -1] >= FIRST
        ends = torch.full_like(scores, -2.0)
        ends[:, THEN] = torch.where(later, -2.0, self.sure)
        ends[:, EOS] = torch.where(later, self.sure, -2.0)
        return torch.where(named.unsqueeze(1), ends, scores)
