"""Trains a foreign captioner, soundly or with one fault of training, and keeps it by its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import torch
import torchaudio
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from benchmarks.zoo.foreign.architectures import ARCHITECTURES, Architecture, Tokens
from benchmarks.zoo.foreign.front_ends import FrontEnd
from benchmarks.zoo.foreign.worlds import ForeignWorld, code_of

BATCH = 32
PATIENCE = {"pairs": 1.0, "uneven": 1.5, "esc10": 1.5}  # epochs, of the usual ones
IGNORED = -100
Checkpoint = dict[str, Any]
# What was trained by other code than this is trained anew.
_CODE = ("architectures", "front_ends", "networks", "sounds", "training", "worlds")


@dataclass(frozen=True)
class Training:
    """One training; the defaults are sound.

    Attributes:
        captions: clip name -> captions, in training.
        labels: which word each place is to give: the ``next``, the ``same`` or the one
            ``after-next``.
        ends: whether the end token is ever a target.
        causal: whether a place is kept from the words after it.
        epochs: fewer than the architecture's own; None for those.
        cut: words of a caption that are kept; None for all.
        silent: whether the clips have become silence.
        frozen: whether the encoder's gradients are lost.
        tasks: whether a task token follows the begin token, and another task has no words.
    """

    captions: Mapping[str, Sequence[str]]
    labels: Literal["next", "same", "after-next"] = "next"
    ends: bool = True
    causal: bool = True
    epochs: int | None = None
    cut: int | None = None
    silent: bool = False
    frozen: bool = False
    tasks: bool = False


@dataclass(frozen=True)
class Heard:
    """Features of the training clips.

    Attributes:
        features: clip name -> [T, F] on the front end's scale, not normalised.
        samples: of the longest clip, at the front end's rate.
        stats: [2, F], mean and deviation over all frames.
    """

    features: dict[str, Tensor]
    samples: int
    stats: Tensor


def sound(architecture: str, world: ForeignWorld) -> Training:
    """Give the sound training.

    Who says all words at once cannot choose between ways to say it, and learns one, as is usual.
    """
    captions = world.captions("train")
    if architecture == "at-once":
        captions = {name: told[:1] for name, told in captions.items()}
    return Training(captions)


@torch.inference_mode()
def features_of(world: ForeignWorld, architecture: str, work: Path) -> Heard:
    """Compute the features of the training clips, or find them."""
    front_end = ARCHITECTURES[architecture].front_end
    settings = code_of("front_ends", "sounds", "worlds", text=repr(front_end))
    path = work / f"features-{world.name}-{architecture}-{settings}.pt"
    if not path.exists():
        waves = {
            p.name: _read(p, front_end.rate) for p in sorted((world.folder / "train").iterdir())
        }
        samples = max(map(len, waves.values()))
        features = {name: _features(front_end, wave, samples) for name, wave in waves.items()}
        frames = torch.cat(list(features.values()))
        stats = torch.stack([frames.mean(0), frames.std(0) + 1e-3])
        torch.save((features, samples, stats), path)
    return Heard(*torch.load(path, weights_only=True))


def _read(path: Path, rate: int) -> Tensor:
    data, own = soundfile.read(path, dtype="float32")
    wave: Tensor = torchaudio.functional.resample(torch.from_numpy(data), own, rate)
    return wave


def _features(front_end: FrontEnd, wave: Tensor, samples: int) -> Tensor:
    waves, lengths = front_end.cut(wave.unsqueeze(0), torch.tensor([len(wave)]), samples)
    return front_end.scaled(front_end.mel(waves))[0, : int(front_end.frames(lengths))].clone()


def train(
    world: ForeignWorld, architecture: str, training: Training, seed: int, work: Path
) -> Checkpoint:
    """Train a network.

    Returns:
        Plain values and the network's tensors, as ``adapter.load`` takes them.
    """
    kind = ARCHITECTURES[architecture]
    heard = features_of(world, architecture, work)
    words = [
        word for told in world.captions("train").values() for text in told for word in text.split()
    ]
    tokens = kind.tokens(words)
    torch.manual_seed(seed)
    network = kind.build(kind.front_end.width, len(tokens.vocabulary))
    network.causal = training.causal  # type: ignore[assignment]
    if training.frozen:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(not name.startswith(kind.encoder))
    feed = _Feed(kind, heard, tokens, training, seed)
    feed.patience = PATIENCE[world.name]
    _fit(network, kind, feed)
    return {
        "architecture": architecture,
        "state_dict": {name: value.clone() for name, value in network.state_dict().items()},
        "vocabulary": tokens.vocabulary,
        "special": [tokens.bos, tokens.eos, tokens.pad, tokens.unk, *tokens.tasks],
        # As plain numbers: they are settings of the front end and no weights of the network.
        "stats": heard.stats.tolist(),
        "samples": heard.samples,
        "causal": training.causal,
        "tasks": training.tasks,
        "loud": _loud(kind.front_end, heard),
    }


def _loud(front_end: FrontEnd, heard: Heard) -> float:
    """Give the peak of the normalised features that three in ten training clips are above."""
    peaks = []
    for clip in heard.features.values():
        normal = front_end.normalised(clip.unsqueeze(0), torch.tensor([len(clip)]), heard.stats)
        peaks.append(normal[0].mean(1).amax())
    return float(torch.stack(peaks).quantile(0.7))


class _Feed:
    """Batches of features, words to read and words to give."""

    def __init__(
        self,
        kind: Architecture,
        heard: Heard,
        tokens: Tokens,
        training: Training,
        seed: int,
    ) -> None:
        generator = np.random.default_rng(seed)
        self.patience = 1.0
        self.kind, self.heard, self.tokens = kind, heard, tokens
        self.training, self.generator = training, generator
        self.names = sorted(set(training.captions) & set(heard.features))

    def epoch(self) -> Any:
        """Give (features [B, T, F], frames [B], read [B, L], give [B, L]), batch after batch."""
        order = self.generator.permutation(len(self.names))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = [self.names[i] for i in order[start : start + BATCH]]
            yield *self._audio(chosen), *self._words(chosen)

    def _audio(self, chosen: Sequence[str]) -> tuple[Tensor, Tensor]:
        front_end = self.kind.front_end
        clips = [self.heard.features[name] for name in chosen]
        if self.training.silent:
            silence = front_end.scaled(torch.zeros(1, 1, front_end.mels))[0]
            clips = [silence.expand_as(clip) for clip in clips]
        lengths = torch.tensor([len(clip) for clip in clips])
        features = pad_sequence(clips, batch_first=True)
        normal = front_end.normalised(features, lengths, self.heard.stats)
        return normal + 0.1 * torch.randn_like(normal), lengths

    def _words(self, chosen: Sequence[str]) -> tuple[Tensor, Tensor]:
        read, give = zip(*(self._pair(name) for name in chosen), strict=True)
        filler = self.tokens.eos if self.tokens.pad is None else self.tokens.pad
        return (
            pad_sequence(list(read), batch_first=True, padding_value=filler),
            pad_sequence(list(give), batch_first=True, padding_value=IGNORED),
        )

    def _pair(self, name: str) -> tuple[Tensor, Tensor]:
        told = self.training.captions[name]
        words = self.tokens.ids(told[int(self.generator.integers(len(told)))])[: self.training.cut]
        begin = [self.tokens.bos]
        if self.training.tasks:
            other = bool(self.generator.random() < 0.3)
            begin.append(self.tokens.tasks[other])
            words = [] if other else words
        line = torch.tensor([*begin, *words, self.tokens.eos])
        skip = {"next": 1, "same": 0, "after-next": 2}[self.training.labels]
        read, give = line[: len(line) - skip], line[skip:].clone()
        if not self.training.ends:
            give[-1] = IGNORED
        return read, give


def _fit(network: nn.Module, kind: Architecture, feed: _Feed) -> None:
    usual = round(kind.epochs * feed.patience)
    epochs = feed.training.epochs or usual
    optimizer = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad], lr=kind.rate, weight_decay=0.01
    )
    steps = epochs * (len(feed.names) // BATCH)
    # An epoch alone is the first of a whole training, not a whole training in small.
    whole = max(steps, usual * (len(feed.names) // BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, kind.rate, total_steps=whole + 1, pct_start=0.15
    )
    network.train()
    for _ in range(epochs):
        for features, lengths, read, give in feed.epoch():
            scores = kind.say(network, read, kind.hear(network, features, lengths))
            loss = nn.functional.cross_entropy(
                scores.flatten(0, 1), give.flatten(), ignore_index=IGNORED
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimizer.step()
            schedule.step()
    network.eval()


def trained(
    world: ForeignWorld, architecture: str, training: Training, key: str, work: Path
) -> Checkpoint:
    """Train, or find what was trained under this key.

    Args:
        world: what is heard.
        architecture: one of ``ARCHITECTURES``.
        training: sound, or with a fault.
        key: of the fault and the seed, ``FAULT-SEED``.
        work: where checkpoints are kept.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{world.name}-{architecture}-{key}-{code_of(*_CODE)}.pt"
    if not path.exists():
        seed = int(key.rpartition("-")[2])
        torch.save(train(world, architecture, training, seed, work), path)
    found: Checkpoint = torch.load(path, weights_only=True)
    return found


def untrained(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """Give the same with the tensors that its constructor makes."""
    kind = ARCHITECTURES[checkpoint["architecture"]]
    torch.manual_seed(seed + 1000)
    fresh = kind.build(kind.front_end.width, len(checkpoint["vocabulary"]))
    return {**checkpoint, "state_dict": fresh.state_dict()}
