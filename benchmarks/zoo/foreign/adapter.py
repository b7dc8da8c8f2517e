"""Gives a foreign network to capfix: ``--adapter benchmarks/zoo/foreign/adapter.py:load``.

Beside the checkpoint ``served.json`` may name a fault of serving (``faults.py``) and its seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import capfix_cli
from benchmarks.zoo.foreign.architectures import ARCHITECTURES
from benchmarks.zoo.foreign.front_ends import inside_of

SERVED = "served.json"


class Foreign(capfix_cli.Captioner):
    """What all of them share.

    Attributes:
        bend: what is done to features on their scale, and to how many frames each clip has.
        normalise: what follows; None for the network's own normalisation.
        twist: what is done to features at the last.
        real: samples of the clips of the batch before they were cut to one length.
    """

    max_length = 26

    def __init__(self, checkpoint: dict[str, Any], strict: bool = True) -> None:
        self.kind = ARCHITECTURES[checkpoint["architecture"]]
        self.front_end = self.kind.front_end
        self.sample_rate = self.front_end.rate
        self.vocabulary = list(checkpoint["vocabulary"])
        self.bos_id, self.eos_id, self.pad_id, self.unk_id, *self.tasks = checkpoint["special"]
        self.checkpoint = checkpoint
        self.stats = torch.tensor(checkpoint["stats"])
        network = self.kind.build(self.front_end.width, len(self.vocabulary))
        network.load_state_dict(checkpoint["state_dict"], strict=strict)
        network.causal = checkpoint["causal"]
        self.module = network.eval()
        self.net: Any = network
        self.bend: Callable[[Tensor, Tensor], Tensor] | None = None
        self.normalise: Callable[[Tensor], Tensor] | None = None
        self.twist: Callable[[Tensor], Tensor] | None = None
        self.real = torch.zeros(0)

    def raw(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, samples] -> features on their scale, [B, T, F], and frames [B]."""
        self.real = self.front_end.frames(lengths)
        waveforms, lengths = self.front_end.cut(waveforms, lengths, self.checkpoint["samples"])
        frames = self.front_end.frames(lengths)
        features = self.front_end.scaled(self.front_end.mel(waveforms))[:, : int(frames.max())]
        if self.bend is not None:
            features = self.bend(features, self.real)
        return features * inside_of(features, frames).unsqueeze(2), frames

    def normal(self, features: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, F] and [B] frames -> what the network reads, [B, T, F]."""
        if self.normalise is not None:
            features = self.normalise(features)
        else:
            features = self.front_end.normalised(features, lengths, self.stats)
        return features if self.twist is None else self.twist(features)

    def hear(self, features: Tensor, lengths: Tensor) -> Any:
        """Normalised features [B, T, F] and [B] frames -> memory."""
        return self.kind.hear(self.net, features, lengths)

    def encode(self, waveforms: Tensor, lengths: Tensor) -> Any:
        """[B, samples] and [B] samples -> memory."""
        features, frames = self.raw(waveforms, lengths)
        return self.hear(self.normal(features, frames), frames)

    def say(self, tokens: Tensor, memory: Any) -> Tensor:
        """[B, L] -> scores [B, L, V]."""
        return self.kind.say(self.net, tokens, memory)

    def logits(self, prefix: Tensor, memory: Any) -> Tensor:
        """[B, T] -> [B, V]."""
        return self.say(prefix, memory)[:, -1]

    def start_prefix(self, batch: int) -> Tensor:
        """The begin token, and the task where it was trained with one: [B, 1 or 2]."""
        start = [self.bos_id, self.tasks[0]] if self.checkpoint["tasks"] else [self.bos_id]
        return torch.tensor([start]).expand(batch, -1).contiguous()


class _Normalised(Foreign):
    """Offers its normalised features."""

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, samples] -> [B, T, F] and frames."""
        features, frames = self.raw(waveforms, lengths)
        return self.normal(features, frames), frames

    def encode_features(self, features: Tensor, lengths: Tensor) -> Any:
        """[B, T, F] -> memory."""
        return self.hear(features, lengths)

    def encode(self, waveforms: Tensor, lengths: Tensor) -> Any:
        """[B, samples] -> memory."""
        return self.encode_features(*self.features(waveforms, lengths))


class ConvPoolCaptioner(_Normalised):
    """Steps with the GRU's state, [1, B, 192]."""

    state_batch_dim = 1

    def start(self, memory: Tensor) -> Tensor:
        """Zeros."""
        return torch.zeros(1, len(memory), self.net.gru.hidden_size)

    def step(self, token: Tensor, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """[B] -> [B, V]."""
        scores, state = self.net(memory, token.unsqueeze(1), state)
        return scores[:, 0], state


class SeqFirstCaptioner(Foreign):
    """Time first in its memory, no features, no steps."""

    memory_batch_dim = 1

    def sequence_logits(self, tokens: Tensor, memory: Any) -> Tensor:
        """[B, T] -> [B, T, V]."""
        return self.say(tokens, memory)


class FirstTokenCaptioner(_Normalised):
    """The audio is read before the begin token; hidden and cell are [1, B, 224]."""

    state_batch_dim = 1

    def start(self, memory: Tensor) -> tuple[Tensor, ...]:
        """Read the audio."""
        state: tuple[Tensor, ...] = self.net.begin(memory)
        return state

    def step(self, token: Tensor, state: Any, memory: Tensor) -> tuple[Tensor, Any]:
        """[B] -> [B, V]."""
        scores, state = self.net.next(token, state)
        return scores, state


class AtOnceCaptioner(_Normalised):
    """All words at once: a prefix only says which place is asked for."""

    autoregressive = False
    max_length = 24


class CellsCaptioner(Foreign):
    """Offers features that are not yet normalised; four states [B, 128]."""

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, samples] -> ln mel [B, T, F] and frames."""
        return self.raw(waveforms, lengths)

    def encode_features(self, features: Tensor, lengths: Tensor) -> Any:
        """[B, T, F] -> memory."""
        return self.hear(self.normal(features, lengths), lengths)

    def encode(self, waveforms: Tensor, lengths: Tensor) -> Any:
        """[B, samples] -> memory."""
        return self.encode_features(*self.features(waveforms, lengths))

    def start(self, memory: Any) -> tuple[Tensor, ...]:
        """Zeros."""
        state: tuple[Tensor, ...] = self.net.zero(len(memory[0]))
        return state

    def step(self, token: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any]:
        """[B] -> [B, V]."""
        scores, state = self.net.one(token, state, memory)
        return scores, state


class PrefixGPTCaptioner(Foreign):
    """No features and no steps; the begin token is the end token too."""

    def sequence_logits(self, tokens: Tensor, memory: Any) -> Tensor:
        """[B, T] -> [B, T, V]."""
        return self.say(tokens, memory)


CLASSES: dict[str, type[Foreign]] = {
    "conv-pool": ConvPoolCaptioner,
    "seq-first": SeqFirstCaptioner,
    "first-token": FirstTokenCaptioner,
    "at-once": AtOnceCaptioner,
    "cells": CellsCaptioner,
    "prefix-gpt": PrefixGPTCaptioner,
}


def load(checkpoint: str, device: str) -> capfix_cli.Captioner:
    """Build the network, load its weights, and serve it with the fault that is named, if any."""
    from benchmarks.zoo.foreign.faults import FAULTS

    # What the constructor draws for tensors that the file lacks is the same at every loading.
    torch.manual_seed(7)
    data = torch.load(checkpoint, map_location=device, weights_only=True)
    beside = Path(checkpoint).parent / SERVED
    served = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
    fault = FAULTS.get(served.get("fault", ""))
    whole = fault is None or fault.file is None
    captioner: Any = CLASSES[data["architecture"]](data, strict=whole)
    if fault is not None and fault.serving is not None:
        captioner = fault.serving(captioner, int(served["seed"]))
    assert isinstance(captioner, Foreign)
    return captioner
