"""Faults of the code that serves a captioner: its front end, its wiring, its words.

Each takes a captioner that was just loaded, and a seed, and gives it changed, or None where the
fault cannot be there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.zoo.foreign.front_ends import inside_of, on_scale

RECURRENT = ("conv-pool", "first-token", "cells")
ATTENDING = ("seq-first", "prefix-gpt")


def _changed(captioner: Any, **methods: Any) -> Any:
    """Give the captioner other methods or attributes of its class."""
    captioner.__class__ = type("Served", (type(captioner),), methods)
    return captioner


# Front ends


def as_scale(scale: str) -> Any:
    """Give features as natural logarithm, ``log10`` or ``db``; None where they are that."""

    def serve(captioner: Any, seed: int) -> Any:
        factor = on_scale(captioner.front_end, scale)
        if factor is None or captioner.front_end.scale == "compressed":
            return None
        captioner.bend = lambda features, frames: factor * features
        return captioner

    return serve


def as_power(captioner: Any, seed: int) -> Any:
    """The logarithm is left out."""
    front_end = captioner.front_end
    if front_end.scale == "compressed":
        captioner.bend = lambda features, frames: torch.expm1(features) / 1000.0
    elif front_end.scale == "ln":
        captioner.bend = lambda features, frames: features.exp()
    elif front_end.scale == "db":
        captioner.bend = lambda features, frames: 10 ** (features / 10)
    else:
        return None
    return captioner


def not_normalised(captioner: Any, seed: int) -> Any:
    """The normalisation is left out."""
    if captioner.front_end.normal == "none":
        return None
    captioner.normalise = lambda features: features
    return captioner


_RATES = (8_000, 16_000, 22_050, 32_000, 44_100, 48_000)  # Hz


def other_rate(captioner: Any, seed: int) -> Any:
    """Say another rate: what comes is resampled to it, and heard as the network's own."""
    far = [r for r in _RATES if abs(math.log2(r / captioner.sample_rate)) > 0.4]
    captioner.sample_rate = far[seed % len(far)]
    return captioner


def over_the_batch(captioner: Any, seed: int) -> Any:
    """Features are standardised along axis 0, which is the batch."""
    captioner.normalise = lambda x: (x - x.mean(0)) / (x.std(0, unbiased=False) + 0.1)
    return captioner


def other_padding(captioner: Any, seed: int) -> Any:
    """Frames after a clip hold another number than in training."""
    if not captioner.front_end.window:
        return None
    value = math.log(1e-5) if captioner.front_end.scale == "compressed" else 0.0

    def bend(features: Tensor, frames: Tensor) -> Tensor:
        after = torch.arange(features.shape[1])[None] >= frames[:, None]
        return features.masked_fill(after[..., None], value)

    captioner.bend = bend
    return captioner


def reshaped(captioner: Any, seed: int) -> Any:
    """[B, F, T] is viewed as [B, T, F] in place of being transposed."""
    captioner.twist = lambda x: x.transpose(1, 2).reshape(x.shape)
    return captioner


# Wiring


def state_lost(captioner: Any, seed: int) -> Any:
    """Every step begins with the state of the first."""
    name = captioner.checkpoint["architecture"]
    if name not in {*RECURRENT, *ATTENDING}:
        return None

    def say(self: Any, tokens: Tensor, memory: Any) -> Tensor:
        one = [
            self.kind.say(self.net, tokens[:, t : t + 1], memory) for t in range(tokens.shape[1])
        ]
        return torch.cat(one, 1)

    methods: dict[str, Any] = {"say": say}
    if name in RECURRENT:
        own = type(captioner)

        def step(self: Any, token: Tensor, state: Any, memory: Any) -> Any:
            return own.step(self, token, self.start(memory), memory)

        methods["step"] = step
    return _changed(captioner, **methods)


def paths_disagree(captioner: Any, seed: int) -> Any:
    """Steps are wrong, whole captions are scored rightly."""
    name, own = captioner.checkpoint["architecture"], type(captioner)
    if name == "at-once":
        return None

    def step(self: Any, token: Tensor, state: Any, memory: Any) -> Any:
        if name == "conv-pool":  # the audio is left out of the steps
            scores, state = self.net(memory, token.unsqueeze(1), state, blank=True)
            return scores[:, 0], state
        if name == "seq-first":  # words before are forgotten, their number is not
            count = int(state[0, 0]) if state.numel() else 0
            scores = self.net.decode(token[None], *memory, first=count)[0]
            return scores, state + 1
        if name == "prefix-gpt":  # the cache is dropped
            return self.say(token[:, None], memory)[:, -1], state
        scores, state = own.step(self, token, state, memory)
        # Hidden and cell change places.
        return scores, (state[1], state[0]) if len(state) == 2 else (*state[2:], *state[:2])

    methods: dict[str, Any] = {"step": step}
    if name in ATTENDING:

        def start(self: Any, memory: Any) -> Tensor:
            rows = memory[0].shape[1] if name == "seq-first" else len(memory)
            return torch.zeros(rows, 1, dtype=torch.long)

        methods["start"] = start
    return _changed(captioner, **methods)


def other_task(captioner: Any, seed: int) -> Any:
    """The other task's token follows the begin token."""
    other = [captioner.bos_id, captioner.tasks[1]]
    return _changed(captioner, start_prefix=_prefix(other))


def wrong_start(captioner: Any, seed: int) -> Any:
    """An end token stands behind the begin token; or padding stands in its place."""
    if captioner.checkpoint["architecture"] == "at-once":
        return None
    padded = seed % 2 and captioner.pad_id is not None
    start = [captioner.pad_id] if padded else [captioner.bos_id, captioner.eos_id]
    return _changed(captioner, start_prefix=_prefix(start))


def _prefix(start: list[int]) -> Any:
    def start_prefix(self: Any, batch: int) -> Tensor:
        return torch.tensor([start]).expand(batch, -1).contiguous()

    return start_prefix


def _each(memory: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change the numbers of a memory, and leave its masks."""
    if isinstance(memory, tuple):
        return tuple(_each(part, change) for part in memory)
    return change(memory) if memory.is_floating_point() else memory


def audio_constant(captioner: Any, seed: int) -> Any:
    """The encoder runs, and its place is taken by a constant."""
    own = type(captioner)

    def hear(self: Any, features: Tensor, lengths: Tensor) -> Any:
        constant = 0.0 if seed % 2 == 0 else 0.1
        return _each(own.hear(self, features, lengths), lambda t: torch.full_like(t, constant))

    return _changed(captioner, hear=hear)


def overflow(hidden: bool) -> Any:
    """On loud clips numbers leave half precision's range; the scores may be made up for it.

    By the seed it is the decoder that reads the memory in half precision, or the encoder the
    features.
    """

    def serve(captioner: Any, seed: int) -> Any:
        own, loud = type(captioner), captioner.checkpoint["loud"]
        in_decoder = seed % 2 == 0

        def hear(self: Any, features: Tensor, lengths: Tensor) -> Any:
            peaks = features.mean(2).masked_fill(~inside_of(features, lengths), -1e9).amax(1)
            factor = torch.where(peaks > loud, 1e6, 1.0)
            if not in_decoder:
                return own.hear(self, (features * factor.view(-1, 1, 1)).half().float(), lengths)
            # [S, B, D] where time is first, else [B, ...].
            shape = [1, -1, 1] if self.memory_batch_dim else None
            memory = own.hear(self, features, lengths)
            return _each(memory, lambda t: t * factor.view(shape or [-1, *[1] * (t.ndim - 1)]))

        def finite(scores: Tensor) -> Tensor:
            return scores.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) if hidden else scores

        def read(memory: Any) -> Any:
            return _each(memory, lambda t: t.half().float()) if in_decoder else memory

        def say(self: Any, tokens: Tensor, memory: Any) -> Tensor:
            return finite(own.say(self, tokens, read(memory)))

        methods: dict[str, Any] = {"hear": hear, "say": say}
        if captioner.checkpoint["architecture"] in RECURRENT:

            def start(self: Any, memory: Any) -> Any:
                return own.start(self, read(memory))

            def step(self: Any, token: Tensor, state: Any, memory: Any) -> Any:
                scores, state = own.step(self, token, state, read(memory))
                return finite(scores), state

            methods |= {"start": start, "step": step}
        return _changed(captioner, **methods)

    return serve


def train_mode(captioner: Any, seed: int) -> Any:
    """Put the network in training mode whenever it runs."""
    own = type(captioner)
    for layer in captioner.net.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = 0.0  # it is not to change while it is looked at

    def hear(self: Any, features: Tensor, lengths: Tensor) -> Any:
        self.net.train()
        return own.hear(self, features, lengths)

    def say(self: Any, tokens: Tensor, memory: Any) -> Tensor:
        self.net.train()
        scores: Tensor = own.say(self, tokens, memory)
        return scores

    return _changed(captioner, hear=hear, say=say)


# Words


def words_mixed(captioner: Any, seed: int) -> Any:
    """The list of words is in another order than in training."""
    special = {captioner.bos_id, captioner.eos_id, captioner.pad_id, captioner.unk_id}
    special |= set(captioner.tasks)
    plain = [i for i in range(len(captioner.vocabulary)) if i not in special]
    order = np.random.default_rng(seed + 9).permutation(len(plain))
    words = list(captioner.vocabulary)
    for place, taken in zip(plain, order, strict=True):
        words[place] = captioner.vocabulary[plain[taken]]
    captioner.vocabulary = words
    return captioner
