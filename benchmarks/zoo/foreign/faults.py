"""Kinds of fault, each with the causes that are a right answer, and where the caption is lost.

A fault is put where such faults are made: into the training, the file of weights, the code that
serves the captioner, or the data beside it. A part that gives None says that the fault cannot be in
this captioner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.zoo.foreign import served_faults as served
from benchmarks.zoo.foreign.architectures import ARCHITECTURES
from benchmarks.zoo.foreign.training import Checkpoint, Training, untrained

Captions = Mapping[str, Sequence[str]]
Place = Literal["input", "encoder", "memory", "decoder", "words"]


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


# Data


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
    "scale-ln": _kind("input.feature-scale", "input", serving=served.as_scale("ln")),
    "scale-log10": _kind("input.feature-scale", "input", serving=served.as_scale("log10")),
    "scale-db": _kind("input.feature-scale", "input", serving=served.as_scale("db")),
    "scale-power": _kind("input.feature-scale", "input", serving=served.as_power),
    "not-normalised": _kind("input.feature-scale", "input", serving=served.not_normalised),
    "rate": _kind("input.sample-rate", "input", serving=served.other_rate),
    "padding-value": _kind("input.padding-value", "input", serving=served.other_padding),
    "axes": _kind("input.axes", "input", serving=served.reshaped),
    "overflow": _kind("input.overflow", "input", serving=served.overflow(hidden=False)),
    "overflow-hidden": _kind("input.overflow", "input", serving=served.overflow(hidden=True)),
    "untrained": _kind("weights.untrained", None, file=_untrained),
    "adapters-dropped": _kind("weights.unused", None, file=_adapters),
    "part-absent": _kind("weights.missing", None, file=_absent),
    "part-renamed": _kind("weights.missing weights.unused", None, file=_renamed),
    "train-mode": _kind("evaluation.train-mode", None, serving=served.train_mode),
    "over-the-batch": _kind("evaluation.batch-dependence", "input", serving=served.over_the_batch),
    "others-references": _kind("evaluation.references", None, references=_others_references),
    "words-mixed": _kind("vocabulary.mismatch", "words", serving=served.words_mixed),
    "audio-constant": _kind("wiring.audio-lost", "memory", serving=served.audio_constant),
    "state-lost": _kind("wiring.state-lost", "decoder", serving=served.state_lost),
    "paths-disagree": _kind("wiring.paths-disagree", "decoder", serving=served.paths_disagree),
    "other-task": _kind(
        "wiring.prompt", "words", training=_set(_READING, tasks=True), serving=served.other_task
    ),
    "wrong-start": _kind(
        "wiring.prompt vocabulary.special-tokens", "words", serving=served.wrong_start
    ),
    "silence": _kind(
        "conditioning.ignored encoder.collapsed", "encoder", training=_set(silent=True)
    ),
    "encoder-frozen": _kind("encoder.untrained", "encoder", training=_set(frozen=True)),
    "no-end": _kind("training.no-end", "words", training=_set(ends=False)),
    "cut-short": _kind("training.cut-short", "words", training=_set(cut=5)),
    "labels-same": _kind(_LABELS, "words", training=_set(_READING, labels="same")),
    "labels-after-next": _kind(_LABELS, "words", training=_set(_READING, labels="after-next")),
    "no-causal-mask": _kind(
        "decoder.sees-ahead", "decoder", training=_set(served.ATTENDING, causal=False)
    ),
    "one-epoch": _kind("decoder.undertrained", None, training=_set(epochs=1)),
    "shuffled-pairs": _kind("data.shuffled-pairs", None, training=_shuffled),
    "shifted-pairs": _kind("data.shifted-pairs", None, training=_shifted),
}
