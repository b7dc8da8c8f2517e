"""Kinds of fault, each with the causes that are a right answer, and where the caption is lost.

A fault is put where such faults are made: into the training, the file of weights, the code that
serves the captioner, or the data beside it. A part that gives None says that the fault cannot be in
this captioner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.zoo.foreign.architectures import ARCHITECTURES
from benchmarks.zoo.foreign.front_ends import inside_of, on_scale
from benchmarks.zoo.foreign.training import Checkpoint, Training, untrained

Captions = Mapping[str, Sequence[str]]
Place = Literal["input", "encoder", "memory", "decoder", "words"]
RECURRENT = ("conv-pool", "first-token", "cells")
ATTENDING = ("seq-first", "prefix-gpt")


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        right: causes any of which is a right answer.
        lost_at: the part in which what is heard, or said, is lost; None where none of them is.
        where: it is put into ``training``, ``file``, ``serving`` or ``data``.
        training: changes a sound training (architecture, training, seed).
        file: changes a sound checkpoint (checkpoint, seed); it is then loaded loosely.
        serving: changes a loaded captioner (captioner, seed), which is its own to change.
        references: changes the references of the test clips (captions, seed).
    """

    right: frozenset[str]
    lost_at: Place | None
    where: Literal["training", "file", "serving", "data"]
    training: Callable[[str, Training, int], Training | None] | None = None
    file: Callable[[Checkpoint, int], Checkpoint | None] | None = None
    serving: Callable[[Any, int], Any] | None = None
    references: Callable[[Captions, int], Captions] | None = None


def _changed(captioner: Any, **methods: Any) -> Any:
    """Give the captioner other methods or attributes of its class."""
    captioner.__class__ = type("Served", (type(captioner),), methods)
    return captioner


# Training


def _set(only: Sequence[str] | None = None, **changes: Any) -> Any:
    """Make a fault of training out of fields; only for some architectures, or all."""

    def change(architecture: str, training: Training, seed: int) -> Training | None:
        if only is not None and architecture not in only:
            return None
        return replace(training, **changes)

    return change


def _shuffled(architecture: str, training: Training, seed: int) -> Training:
    """Captions and clips are paired at random."""
    names = list(training.captions)
    order = np.random.default_rng(seed + 50).permutation(len(names))
    told = {name: training.captions[names[i]] for name, i in zip(names, order, strict=True)}
    return replace(training, captions=told)


def _shifted(architecture: str, training: Training, seed: int) -> Training:
    """Each clip has the captions of the one before it: a header counted as a row."""
    names = list(training.captions)
    told = {name: training.captions[names[i - 1]] for i, name in enumerate(names)}
    return replace(training, captions=told)


# Files of weights


def _adapters(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """The file holds low-rank adapters beside a base, and the loader knows only the base.

    What was trained is parted so that base and adapters add up to it; the adapters have its largest
    directions.
    """
    state: dict[str, Tensor] = {}
    for name, weight in checkpoint["state_dict"].items():
        state[name] = weight
        # Not the embeddings: adapters leave them alone, and they may be tied to the output.
        plain = weight.ndim in {2, 3} and "emb" not in name and ".wte" not in name
        if not plain or "wpe" in name or "lm_head" in name or min(weight.shape[:2]) < 32:
            continue
        left, sizes, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        rank = 12
        up, down = left[:, :rank] * sizes[:rank], right[:rank]
        state[name] = weight - (up @ down).view_as(weight)
        state[f"{name.removesuffix('.weight')}.lora_A.default.weight"] = down.contiguous()
        state[f"{name.removesuffix('.weight')}.lora_B.default.weight"] = up.contiguous()
    return {**checkpoint, "state_dict": state}


def _of_part(checkpoint: Checkpoint, seed: int) -> set[str]:
    """Name the tensors of a part: the encoder, or the decoder, by the seed."""
    encoder = ARCHITECTURES[checkpoint["architecture"]].encoder
    names = checkpoint["state_dict"]
    return {name for name in names if name.startswith(encoder) == (seed % 2 == 0)}


def _absent(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """The file lacks a part."""
    left_out, state = _of_part(checkpoint, seed), checkpoint["state_dict"]
    kept = {name: value for name, value in state.items() if name not in left_out}
    return {**checkpoint, "state_dict": kept}


def _renamed(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """The file has a part under other names, and nobody looked at what did not fit."""
    other, state = _of_part(checkpoint, seed), checkpoint["state_dict"]
    named = {f"module.{name}" if name in other else name: value for name, value in state.items()}
    return {**checkpoint, "state_dict": named}


# Front ends


def _as_scale(scale: str) -> Any:
    def serve(captioner: Any, seed: int) -> Any:
        factor = on_scale(captioner.front_end, scale)
        if factor is None or captioner.front_end.scale == "compressed":
            return None
        captioner.bend = lambda features, frames: factor * features
        return captioner

    return serve


def _power(captioner: Any, seed: int) -> Any:
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


def _unnormalised(captioner: Any, seed: int) -> Any:
    if captioner.front_end.normal == "none":
        return None
    captioner.normalise = lambda features: features
    return captioner


_RATES = (8_000, 16_000, 22_050, 32_000, 44_100, 48_000)  # Hz


def _rate(captioner: Any, seed: int) -> Any:
    """Say another rate: what comes is resampled to it, and heard as the network's own."""
    far = [r for r in _RATES if abs(math.log2(r / captioner.sample_rate)) > 0.4]
    captioner.sample_rate = far[seed % len(far)]
    return captioner


def _over_the_batch(captioner: Any, seed: int) -> Any:
    """Features are standardised along axis 0, which is the batch."""
    captioner.normalise = lambda x: (x - x.mean(0)) / (x.std(0, unbiased=False) + 0.1)
    return captioner


def _padding(captioner: Any, seed: int) -> Any:
    """Frames after a clip hold another number than in training."""
    if not captioner.front_end.window:
        return None
    value = math.log(1e-5) if captioner.front_end.scale == "compressed" else 0.0

    def bend(features: Tensor, frames: Tensor) -> Tensor:
        after = torch.arange(features.shape[1])[None] >= frames[:, None]
        return features.masked_fill(after[..., None], value)

    captioner.bend = bend
    return captioner


def _axes(captioner: Any, seed: int) -> Any:
    """[B, F, T] is viewed as [B, T, F] in place of being transposed."""
    captioner.twist = lambda x: x.transpose(1, 2).reshape(x.shape)
    return captioner


# Wiring


def _state_lost(captioner: Any, seed: int) -> Any:
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


def _paths(captioner: Any, seed: int) -> Any:
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


def _other_task(captioner: Any, seed: int) -> Any:
    """The other task's token follows the begin token."""
    other = [captioner.bos_id, captioner.tasks[1]]
    return _changed(captioner, start_prefix=_prefix(other))


def _wrong_start(captioner: Any, seed: int) -> Any:
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


def _audio_lost(captioner: Any, seed: int) -> Any:
    """The encoder runs, and its place is taken by a constant."""
    own = type(captioner)

    def hear(self: Any, features: Tensor, lengths: Tensor) -> Any:
        constant = 0.0 if seed % 2 == 0 else 0.1
        return _each(own.hear(self, features, lengths), lambda t: torch.full_like(t, constant))

    return _changed(captioner, hear=hear)


def _overflow(hidden: bool) -> Any:
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


def _train_mode(captioner: Any, seed: int) -> Any:
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


# Data


def _words_mixed(captioner: Any, seed: int) -> Any:
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


def _others_references(captions: Captions, seed: int) -> Captions:
    """Every clip has the references of a clip some places on."""
    names, step = sorted(captions), 3 + seed
    return {name: captions[names[(i + step) % len(names)]] for i, name in enumerate(names)}


_READING = [name for name in ARCHITECTURES if name != "at-once"]  # the words before


def _kind(right: str, lost_at: Place | None, **parts: Any) -> Fault:
    """Make a fault of the causes that are right, parted by blanks, and its parts."""
    where: Any = next((part for part in ("training", "file", "serving") if part in parts), "data")
    if parts.get("training") and parts.get("serving"):
        where = "serving"  # a sound training of another kind, wrongly served
    return Fault(frozenset(right.split()), lost_at, where, **parts)


def _untrained(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    return untrained(checkpoint, seed)


_LABELS = "training.label-alignment"
SOUND = "sound"
FAULTS: dict[str, Fault] = {
    "scale-ln": _kind("input.feature-scale", "input", serving=_as_scale("ln")),
    "scale-log10": _kind("input.feature-scale", "input", serving=_as_scale("log10")),
    "scale-db": _kind("input.feature-scale", "input", serving=_as_scale("db")),
    "scale-power": _kind("input.feature-scale", "input", serving=_power),
    "not-normalised": _kind("input.feature-scale", "input", serving=_unnormalised),
    "rate": _kind("input.sample-rate", "input", serving=_rate),
    "padding-value": _kind("input.padding-value", "input", serving=_padding),
    "axes": _kind("input.axes", "input", serving=_axes),
    "overflow": _kind("input.overflow", "input", serving=_overflow(hidden=False)),
    "overflow-hidden": _kind("input.overflow", "input", serving=_overflow(hidden=True)),
    "untrained": _kind("weights.untrained", None, file=_untrained),
    "adapters-dropped": _kind("weights.unused", None, file=_adapters),
    "part-absent": _kind("weights.missing", None, file=_absent),
    "part-renamed": _kind("weights.missing weights.unused", None, file=_renamed),
    "train-mode": _kind("evaluation.train-mode", None, serving=_train_mode),
    "over-the-batch": _kind("evaluation.batch-dependence", "input", serving=_over_the_batch),
    "others-references": _kind("evaluation.references", None, references=_others_references),
    "words-mixed": _kind("vocabulary.mismatch", "words", serving=_words_mixed),
    "audio-constant": _kind("wiring.audio-lost", "memory", serving=_audio_lost),
    "state-lost": _kind("wiring.state-lost", "decoder", serving=_state_lost),
    "paths-disagree": _kind("wiring.paths-disagree", "decoder", serving=_paths),
    "other-task": _kind(
        "wiring.prompt", "words", training=_set(_READING, tasks=True), serving=_other_task
    ),
    "wrong-start": _kind("wiring.prompt vocabulary.special-tokens", "words", serving=_wrong_start),
    "silence": _kind(
        "conditioning.ignored encoder.collapsed", "encoder", training=_set(silent=True)
    ),
    "encoder-frozen": _kind("encoder.untrained", "encoder", training=_set(frozen=True)),
    "no-end": _kind("training.no-end", "words", training=_set(ends=False)),
    "cut-short": _kind("training.cut-short", "words", training=_set(cut=5)),
    "labels-same": _kind(_LABELS, "words", training=_set(_READING, labels="same")),
    "labels-after-next": _kind(_LABELS, "words", training=_set(_READING, labels="after-next")),
    "no-causal-mask": _kind(
        "decoder.sees-ahead", "decoder", training=_set(ATTENDING, causal=False)
    ),
    "one-epoch": _kind("decoder.undertrained", None, training=_set(epochs=1)),
    "shuffled-pairs": _kind("data.shuffled-pairs", None, training=_shuffled),
    "shifted-pairs": _kind("data.shifted-pairs", None, training=_shifted),
}
