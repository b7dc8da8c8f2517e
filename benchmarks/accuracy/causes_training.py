"""Sound captioners for ``benchmarks/accuracy/causes.py``, and those whose training is the fault."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.zoo import small_whisper
from capfix_cli.audio.audio_batches import iterate_batches
from capfix_cli.audio.audio_files import read_headers
from capfix_cli.captioners.loading import Loaded, load
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.captioners.own.own_config import CaptionerConfig, from_dict
from capfix_cli.captions.reference_file import read_references
from capfix_cli.demo.synthetic_world import World, make_world
from capfix_cli.training.caption_data import build_vocabulary

Captions = dict[str, list[str]]

# GRU decoders that hear every step or attend are what thresholds were set on; the Transformer and a
# small Whisper of transformers are held out whole: no threshold was tuned on them.
TUNED, HELD_OUT = ("every-step", "attention"), ("transformer", small_whisper.NAME)
_COMMON = {
    "front_end": {"n_mels": 32, "n_fft": 1024, "hop_length": 512},
    "encoder": {"pooling": "frequency", "channels": 12, "width": 64, "dropout": 0.1},
    "embedding": 64,
    "hidden": 128,
    "dropout": 0.1,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "every-step": {**_COMMON, "conditioning": "every-step"},
    "attention": {**_COMMON, "conditioning": "attention"},
    "transformer": {**_COMMON, "conditioning": "attention", "decoder": "transformer", "hidden": 64},
}
ALL = (*ARCHITECTURES, small_whisper.NAME)
EPOCHS = 24


@dataclass(frozen=True)
class Set:
    """An audio set with its features.

    Attributes:
        world: where it is.
        features: name -> [frames, mels] of the training clips.
        captions: name -> five captions of the training clips.
    """

    world: World
    features: dict[str, Tensor]
    captions: Captions


def open_set(name: str, work: Path, esc10: Path) -> Set:
    """Make an audio set, or find it as it was made before."""
    folder = work / name
    world = World(
        folder,
        *(folder / "train", folder / "test"),
        *(folder / "train.csv", folder / "test.csv"),
        folder / "truth.json",
    )
    if not world.truth.exists():
        if name == "synthesised":
            make_world(folder, 704, 128, 0)
        else:
            from examples.esc10 import build

            build(folder, esc10, 0, 500, 100)
    world = replace(world, test_audio=_one_a_scene(world))
    captions = {n: list(texts) for n, texts in read_references(world.train_captions).items()}
    cached = folder / "features.pt"
    if not cached.exists():
        torch.save(_features(world), cached)
    features: dict[str, Tensor] = torch.load(cached, weights_only=True)
    return Set(world, features, captions)


def _one_a_scene(world: World) -> Path:
    """Make a test folder with one clip of each scene.

    Where every scene comes twice, who always says the same of the same scene has few captions, and
    its verdict would be "generic" however sound it is.
    """
    folder = world.folder / "one-a-scene"
    if not folder.exists():
        folder.mkdir()
        scenes = json.loads(world.truth.read_text())
        first = {
            tuple(scenes[path.name]): path for path in sorted(world.test_audio.iterdir())[::-1]
        }
        for path in first.values():
            shutil.copy(path, folder)
    return folder


@torch.inference_mode()
def _features(world: World) -> dict[str, Tensor]:
    captioner = OwnCaptioner(from_dict(ARCHITECTURES["every-step"]), build_vocabulary([["a"]]))
    clips, _ = read_headers(world.train_audio)
    found = {}
    for batch in iterate_batches(clips, captioner.sample_rate, 32):
        frames, lengths = captioner.features(batch.waveforms, batch.lengths)
        for name, clip, length in zip(batch.names, frames, lengths.tolist(), strict=True):
            found[name] = clip[:length].clone()
    return found


def shifted(captions: Captions, seed: int) -> Captions:
    """Every clip has the captions of the next."""
    names = sorted(captions)
    step = 1 + seed
    return {n: captions[names[(i + step) % len(names)]] for i, n in enumerate(names)}


def imbalanced(captions: Captions, seed: int) -> Captions:
    """Seventeen in twenty clips have one caption, the same for all."""
    generator = np.random.default_rng(seed)
    usual = captions[sorted(captions)[seed]][0]
    return {n: [usual] * 5 if generator.random() < 0.85 else texts for n, texts in captions.items()}


_BLAND = (
    "a sound is heard",
    "something makes a sound",
    "some sounds can be heard",
    "a noise is heard in the background",
    "there is a sound",
    "various sounds are heard",
    "a person hears a sound",
)


def generic(captions: Captions, seed: int) -> Captions:
    """Captions that say nothing of what is heard."""
    generator = np.random.default_rng(seed)
    return {n: [_BLAND[i] for i in generator.permutation(len(_BLAND))[:5]] for n in captions}


def single(captions: Captions, seed: int) -> Captions:
    """One of the five captions of a clip."""
    return {n: texts[seed % 5 : seed % 5 + 1] for n, texts in captions.items()}


DATA: dict[str, Callable[[Captions, int], Captions]] = {
    "data.shifted-pairs": shifted,
    "data.imbalanced": imbalanced,
    "data.generic-captions": generic,
    "data.single-caption": single,
}


def write_csv(path: Path, captions: Captions) -> Path:
    """Write a training file."""
    if not path.exists():
        with path.open("w", encoding="utf-8", newline="") as file:
            most = max(map(len, captions.values()))
            writer = csv.writer(file)
            writer.writerow(["file_name", *(f"caption_{i + 1}" for i in range(most))])
            writer.writerows([n, *texts] for n, texts in sorted(captions.items()))
    return path


def trained(held: Set, architecture: str, fault: str, seed: int, work: Path) -> tuple[Loaded, Path]:
    """Train a captioner, or load the one that was; give it with its training file.

    Args:
        held: audio set.
        architecture: one of ``ALL``.
        fault: ``sound``, ``decoder.undertrained`` or a key of ``DATA``.
        seed: of weights and draws, and the variant of the fault.
        work: where models are kept.
    """
    captions = DATA[fault](held.captions, seed) if fault in DATA else held.captions
    name = f"{held.world.folder.name}-{architecture}-{fault}-{seed}"
    table = write_csv(work / f"{name}.csv", captions)
    undertrained = fault == "decoder.undertrained"
    if architecture == small_whisper.NAME:
        path = work / name
        if not path.exists():
            epochs = 1 if undertrained else small_whisper.EPOCHS
            texts = [text for own in _worded(held, captions).values() for text in own]
            features = _whisper_features(held)
            small_whisper.train(captions, texts, features, path, epochs=epochs, seed=seed)
        return load(str(path)), table
    path = work / f"{name}.pt"
    if not path.exists():
        epochs = 1 if undertrained else EPOCHS
        captioner = _fit(from_dict(ARCHITECTURES[architecture]), held, captions, epochs, seed)
        save(captioner, path, training={"epochs": epochs}, overwrite=True)
    return load(str(path)), table


def _whisper_features(held: Set) -> dict[str, Tensor]:
    cached = held.world.folder / "whisper-features.pt"
    if not cached.exists():
        torch.save(small_whisper.features_of(held.world.train_audio), cached)
    features: dict[str, Tensor] = torch.load(cached, weights_only=True)
    return features


def _worded(held: Set, captions: Captions) -> Captions:
    """The captions whose words the vocabulary has: the set's own unless others are learnt."""
    bland = set(_BLAND) & {text for texts in captions.values() for text in texts}
    return captions if bland else held.captions


def _fit(
    config: CaptionerConfig, held: Set, captions: Captions, epochs: int, seed: int
) -> OwnCaptioner:
    torch.manual_seed(seed)
    words = build_vocabulary(list(_worded(held, captions).values()))
    captioner = OwnCaptioner(config, words)
    module = captioner.module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    generator = np.random.default_rng(seed)
    names = sorted(held.features)
    steps = epochs * (len(names) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(epochs):
        order = generator.permutation(len(names))
        for start in range(0, len(names) - 31, 32):
            chosen = [names[i] for i in order[start : start + 32]]
            frames = pad_sequence([held.features[n] for n in chosen], batch_first=True)
            lengths = torch.tensor([len(held.features[n]) for n in chosen])
            texts = [_draw(captions[n], generator) for n in chosen]
            loss = captioner.feature_loss(frames, lengths, texts)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    module.eval()
    return captioner


def _draw(texts: Sequence[str], generator: np.random.Generator) -> str:
    return texts[int(generator.integers(len(texts)))]
