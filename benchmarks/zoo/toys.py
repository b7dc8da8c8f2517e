"""Captioners whose behaviour is known: they hear a clip's loudness and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from capfix_cli.captioners.base import Captioner

RATE = 8_000
CLIPS = 30
PAD, BOS, EOS = 0, 1, 2
FIRST = 3  # of the words
COMMON, VARIANTS = 6, 20  # words of no clip, and of each clip


class Toy(Captioner):
    """Says one word and ends; ``rule`` gives its scores from the clip's number."""

    sample_rate = RATE
    bos_id, eos_id, pad_id = BOS, EOS, PAD
    max_length = 6

    def __init__(
        self, rule: Callable[[Tensor, int], Tensor], words: int = COMMON + VARIANTS * CLIPS
    ) -> None:
        self.vocabulary = ["<pad>", "<bos>", "<eos>", *(f"word{i}" for i in range(words))]
        self.words = words
        self.rule = rule
        self.module = nn.Linear(1, 1)

    def encode(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """[B, samples] -> [B] numbers of the clips, read from their loudness."""
        peak = waveforms.abs().amax(dim=1)
        return (peak * (CLIPS + 1)).round().long() - 1

    def logits(self, prefix: Tensor, memory: Tensor) -> Tensor:
        """[B, T] and [B] -> [B, V]."""
        scores = torch.full((prefix.shape[0], len(self.vocabulary)), -30.0)
        if prefix.shape[1] == 2:
            scores[:, EOS] = 0.0
        else:
            scores[:, FIRST:] = self.rule(memory, self.words)
        return scores


def own_words(clip: Tensor, words: int, variants: int = 1) -> Tensor:
    """[B] -> [B, words]: 1 at the clip's own words; the first six belong to no clip."""
    place = torch.arange(words).unsqueeze(0) - COMMON
    return (
        (place >= 0) & (place // VARIANTS == clip[:, None]) & (place % VARIANTS < variants)
    ).float()


def common_word(clip: Tensor, words: int, kinds: int = 1) -> Tensor:
    """[B] -> [B, words]: 1 at one of the first ``kinds`` words, by the clip's number."""
    return nn.functional.one_hot(clip % kinds, words).float()


def healthy(clip: Tensor, words: int) -> Tensor:
    """Say the clip's own words, surely."""
    return 12.0 * own_words(clip, words)


def deaf(clip: Tensor, words: int) -> Tensor:
    """Say the same words of every clip."""
    return torch.linspace(0.0, -3.0, words).expand(len(clip), -1)


def hidden_by_search(clip: Tensor, words: int) -> Tensor:
    """The favourite leads by a little; nearly all of the probability is the clip's own words'."""
    return 15.0 * common_word(clip, words) + 14.9 * own_words(clip, words, VARIANTS)


def needs_contrast(clip: Tensor, words: int) -> Tensor:
    """The favourite has nearly 9 of 10 parts of the probability: drawing seldom leaves it."""
    return 15.0 * common_word(clip, words) + 13.0 * own_words(clip, words)


def bland(clip: Tensor, words: int) -> Tensor:
    """Six things are said, each of five clips, and nothing else is likely."""
    return 30.0 * common_word(clip, words, COMMON)


def bland_until_sampled(clip: Tensor, words: int) -> Tensor:
    """As ``bland``, but the clip's own words are close behind."""
    return 15.0 * common_word(clip, words, COMMON) + 14.9 * own_words(clip, words, VARIANTS)


def broken(clip: Tensor, words: int) -> Tensor:
    """Say nothing that is a number."""
    return torch.full((len(clip), words), float("nan"))


def write_clips(folder: Path, copies: bool = False) -> Path:
    """Write ``CLIPS`` tones, each of its own loudness."""
    folder.mkdir()
    time = np.arange(RATE // 4) / RATE
    for number in range(CLIPS):
        level = ((1 if copies else number) + 1) / (CLIPS + 1)
        tone = np.sign(np.sin(2 * np.pi * 440 * time + 0.1)) * level
        soundfile.write(folder / f"{number:02d}.wav", tone, RATE, subtype="FLOAT")
    return folder


# For --adapter toys.py:NAME
def load_deaf(checkpoint: str, device: str) -> Captioner:
    """Give the deaf toy."""
    return Toy(deaf)


def load_healthy(checkpoint: str, device: str) -> Captioner:
    """Give the healthy toy."""
    return Toy(healthy)


class Endless(Toy):
    """Ends its captions with a token that nobody told capfix is the end token."""

    eos_id = PAD
    pad_id = None  # type: ignore[assignment]

    def logits(self, prefix: Tensor, memory: Tensor) -> Tensor:
        """[B, T] and [B] -> [B, V]."""
        scores = torch.full((prefix.shape[0], len(self.vocabulary)), -30.0)
        if prefix.shape[1] > 1:
            scores[:, EOS] = 0.0
        else:
            scores[:, FIRST:] = self.rule(memory, self.words)
        return scores


def own_words_in_order(clip: Tensor, words: int) -> Tensor:
    """Three words of the clip's own, the first likelier than the second by far."""
    place = torch.arange(words).unsqueeze(0) - COMMON
    own = (place >= 0) & (place // VARIANTS == clip[:, None]) & (place % VARIANTS < 3)
    return torch.where(own, 12.0 - place % VARIANTS, 0.0)


class Looping(Toy):
    """Says the likeliest word again and again; kept from it, it says the others and ends."""

    max_length = 12

    def logits(self, prefix: Tensor, memory: Tensor) -> Tensor:
        """[B, T] and [B] -> [B, V]."""
        scores = torch.full((prefix.shape[0], len(self.vocabulary)), -30.0)
        scores[:, FIRST:] = self.rule(memory, self.words)
        scores[:, EOS] = 8.0 if prefix.shape[1] > 3 else -30.0
        return scores


class Unending(Toy):
    """Says its word for ever: nothing else is likely, the end least of all."""

    def logits(self, prefix: Tensor, memory: Tensor) -> Tensor:
        """[B, T] and [B] -> [B, V]."""
        scores = torch.full((prefix.shape[0], len(self.vocabulary)), -30.0)
        scores[:, FIRST:] = self.rule(memory, self.words)
        scores[:, EOS] = -60.0
        return scores
