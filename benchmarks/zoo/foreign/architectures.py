"""The six networks with their front ends, special tokens, and how each is fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo.foreign import networks
from benchmarks.zoo.foreign.front_ends import FrontEnd

Hear = Callable[[Any, Tensor, Tensor], Any]
Say = Callable[[Any, Tensor, Any], Tensor]


@dataclass(frozen=True)
class Tokens:
    """A vocabulary and its special tokens; ``tasks`` are (captioning, another task)."""

    vocabulary: list[str]
    bos: int
    eos: int
    pad: int | None
    unk: int | None
    tasks: tuple[int, int]

    def ids(self, text: str) -> list[int]:
        """Give the ids of a text whose words are all known."""
        return [self.vocabulary.index(word) for word in text.split()]


@dataclass(frozen=True)
class Architecture:
    """One network and its habits.

    Attributes:
        build: (features a frame, words) -> network.
        hear: network, features [B, T, F], frames [B] -> memory.
        say: network, tokens [B, L], memory -> scores [B, L, V].
        encoder: the names of its encoder's parameters begin so.
        front_end: what it is fed.
        special: names of begin, end, padding and unknown; the same name twice is one token.
        special_last: whether these stand behind the words.
        epochs: of a sound training.
        rate: of learning, at most.
    """

    build: Callable[[int, int], nn.Module]
    hear: Hear
    say: Say
    encoder: tuple[str, ...]
    front_end: FrontEnd
    special: tuple[str, str, str | None, str | None]
    special_last: bool = False
    epochs: int = 30
    rate: float = 2e-3

    def tokens(self, words: Sequence[str]) -> Tokens:
        """Lay a vocabulary out in this architecture's manner."""
        special = [*dict.fromkeys(name for name in self.special if name), "<caption>", "<tags>"]
        words = sorted(set(words))
        both = [*words, *special] if self.special_last else [*special, *words]
        bos, eos, pad, unk = (None if name is None else both.index(name) for name in self.special)
        assert bos is not None
        assert eos is not None
        return Tokens(both, bos, eos, pad, unk, (both.index("<caption>"), both.index("<tags>")))


def _say_seq_first(network: Any, tokens: Tensor, memory: Any) -> Tensor:
    scores: Tensor = network.decode(tokens.T, *memory)
    return scores.transpose(0, 1)


def _say_at_once(network: Any, tokens: Tensor, memory: Any) -> Tensor:
    scores: Tensor = network(memory)
    places = torch.arange(tokens.shape[1]).clamp_max(scores.shape[1] - 1)
    return scores[:, places]


ARCHITECTURES: dict[str, Architecture] = {
    "conv-pool": Architecture(
        build=networks.ConvPool,
        hear=lambda network, features, lengths: network.encode(features),
        say=lambda network, tokens, memory: network(memory, tokens)[0],
        encoder=("cnn.", "fc."),
        front_end=FrontEnd(16_000, 512, 320, 40, "ln", "whole", window=True),
        special=("<sos>", "<eos>", "<pad>", "<unk>"),
        epochs=26,
    ),
    "seq-first": Architecture(
        build=networks.SeqFirst,
        hear=lambda network, features, lengths: network.encode(features.transpose(0, 1), lengths),
        say=_say_seq_first,
        encoder=("src_proj.", "encoder."),
        front_end=FrontEnd(32_000, 1024, 512, 64, "db", "fixed"),
        special=("<s>", "</s>", "<blank>", None),
        special_last=True,
        epochs=16,
        rate=1.5e-3,
    ),
    "first-token": Architecture(
        build=networks.FirstToken,
        hear=lambda network, features, lengths: network.embed_audio(features, lengths),
        say=lambda network, tokens, memory: network(memory, tokens),
        encoder=("down.", "enc_rnn.", "enc_bn.", "img2emb."),
        front_end=FrontEnd(16_000, 400, 240, 48, "mfcc", "bands"),
        special=("<START>", "<END>", "<PAD>", None),
        epochs=24,
        rate=3e-3,
    ),
    "at-once": Architecture(
        build=networks.AtOnce,
        hear=lambda network, features, lengths: network.encode(features),
        say=_say_at_once,
        encoder=("conv1.", "conv2.", "frame_pos", "norm1."),
        front_end=FrontEnd(22_050, 1024, 441, 48, "compressed", "none", window=True),
        special=("<bos>", "<eos>", "<pad>", "<unk>"),
        epochs=16,
        rate=1.5e-3,
    ),
    "cells": Architecture(
        build=networks.Cells,
        hear=lambda network, features, lengths: network.encoder(features, lengths),
        say=lambda network, tokens, memory: network(tokens, memory),
        encoder=("conv.", "pos_rnn."),
        front_end=FrontEnd(22_050, 1024, 512, 32, "ln", "clip"),
        special=("<start>", "<end>", "<pad>", "<unk>"),
        epochs=14,
        rate=3e-3,
    ),
    "prefix-gpt": Architecture(
        build=networks.PrefixGPT,
        hear=lambda network, features, lengths: network.prefix(features, lengths),
        say=lambda network, tokens, memory: network(memory, tokens),
        encoder=("audio.", "project."),
        front_end=FrontEnd(16_000, 1024, 480, 64, "db", "whole"),
        special=("<|endoftext|>", "<|endoftext|>", None, None),
        epochs=14,
        rate=2e-3,
    ),
}
