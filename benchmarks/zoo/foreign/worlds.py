"""Three captioned worlds that capfix was not tuned on, as folders of clips and captions files.

``pairs``: two events in order, every clip equally long. ``uneven``: one to three events, half a
second to eight seconds. ``esc10``: two recordings of ESC-10, one after or over the other, folds
1-4 to train and 5 to test; it needs the folder of the recordings and is skipped without.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.random import Generator

from benchmarks.zoo.foreign.sounds import NAMES, SMALL, SOUNDS, Wave

WORLDS = ("pairs", "uneven", "esc10")
TRAIN, TEST = 640, 64  # scenes
CAPTIONS = 5  # a clip; the first one is plain: one way to say it for every scene

_ESC_NAMES: dict[str, tuple[str, ...]] = {
    "dog bark": ("a dog barking", "a barking hound", "woofs"),
    "rain": ("rain falling", "a downpour", "drizzle"),
    "sea waves": ("sea waves", "surf on a beach", "the ocean"),
    "baby cry": ("a baby crying", "a weeping infant", "crying"),
    "clock tick": ("a clock ticking", "ticking", "a tick tock"),
    "person sneeze": ("a person sneezing", "somebody sneezing", "a sneeze"),
    "helicopter": ("a helicopter flying", "a chopper", "rotor blades"),
    "chainsaw": ("a chainsaw cutting", "a power saw", "sawing"),
    "rooster": ("a rooster crowing", "a cock", "crowing"),
    "fire crackling": ("a fire crackling", "flames", "burning wood"),
}
_ESC_SMALL = frozenset(["a", "the", "on"])


@dataclass(frozen=True)
class Scene:
    """What is heard.

    Attributes:
        samples: [samples] in [-1, 1].
        kinds: in order.
        how: which templates tell of it.
    """

    samples: Wave
    kinds: tuple[str, ...]
    how: str


@dataclass(frozen=True)
class ForeignWorld:
    """A world on disk.

    Attributes:
        name: one of ``WORLDS``.
        folder: holds ``train/``, ``test/``, ``train.csv``, ``test.csv`` and ``truth.json``.
        truth: clip name -> kinds of its events in order.
        words: kind -> the words that give it away.
    """

    name: str
    folder: Path
    truth: Mapping[str, Sequence[str]]
    words: Mapping[str, frozenset[str]]

    def captions(self, split: str) -> dict[str, list[str]]:
        """Read ``train`` or ``test``: clip name -> five captions."""
        with (self.folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            return {row[0]: row[1:] for row in list(csv.reader(file))[1:]}

    def named(self, captions: Mapping[str, str]) -> tuple[float, float]:
        """Give the share of events that captions name, and that another clip's captions name."""
        names = sorted(captions)
        found = [self._share(name, captions[name]) for name in names]
        step = len(names) // 2
        others = [self._share(n, captions[names[i - step]]) for i, n in enumerate(names)]
        return float(np.mean(found)), float(np.mean(others))

    def _share(self, name: str, caption: str) -> float:
        said = set(caption.split())
        return float(np.mean([bool(said & self.words[kind]) for kind in self.truth[name]]))


_TEMPLATES: dict[str, tuple[str, ...]] = {
    "in-order": (
        "{0} and then {1}",
        "first {0} later {1}",
        "{0} comes before {1}",
        "{1} comes after {0}",
        "one hears {0} which gives way to {1}",
        "after {0} there is {1}",
    ),
    "alone": ("just {0}", "{0} and nothing else", "only {0} is heard", "there is {0}"),
    "two": (
        "{0} next {1}",
        "{0} with {1} behind it",
        "{1} preceded by {0}",
        "it begins with {0} and ends with {1}",
    ),
    "three": (
        "{0} next {1} next {2}",
        "{0} followed by {1} and finally {2}",
        "it begins with {0} goes on with {1} and ends with {2}",
        "{0} then {1} then {2}",
    ),
    "over": (
        "{0} together with {1}",
        "{1} while there is {0}",
        "{0} and {1} at once",
        "both {0} and {1} are heard",
    ),
    "after": (
        "{0} until {1} sets in",
        "{0} makes room for {1}",
        "{1} once {0} is over",
        "at first {0} at last {1}",
    ),
}


def tell(scene: Scene, names: Mapping[str, Sequence[str]], generator: Generator) -> list[str]:
    """Give five captions of a scene; the first has the first template and the first names."""
    templates = _TEMPLATES[scene.how]
    told = [templates[0].format(*(names[kind][0] for kind in scene.kinds))]
    while len(told) < CAPTIONS:
        chosen = [names[kind][int(generator.integers(len(names[kind])))] for kind in scene.kinds]
        told.append(templates[int(generator.integers(len(templates)))].format(*chosen))
    return told


def _level(wave: Wave, generator: Generator) -> Wave:
    """Give a wave a level of its own, and soft ends."""
    size = min(400, wave.size // 4)
    ends = np.minimum(1.0, np.arange(wave.size) / size)
    wave = wave * ends * ends[::-1]
    gain = 0.1 * 10 ** (generator.uniform(-6, 3) / 20) / np.sqrt(np.mean(wave**2) + 1e-9)
    return np.asarray(np.clip(gain * wave, -0.45, 0.45), dtype=np.float64)


def _drawn(generator: Generator, count: int) -> tuple[str, ...]:
    return tuple(generator.permutation(sorted(SOUNDS))[:count].tolist())


def pairs_scene(generator: Generator, rate: int) -> Scene:
    """Two events, three seconds in all; where the first ends is drawn."""
    kinds = _drawn(generator, 2)
    size, cut = 3 * rate, round(rate * generator.uniform(1.2, 1.8))
    parts = [
        _level(SOUNDS[kind](generator, length, rate), generator)
        for kind, length in zip(kinds, (cut, size - cut), strict=True)
    ]
    noise = 0.002 * generator.standard_normal(size)
    return Scene(np.concatenate(parts) + noise, kinds, "in-order")


def uneven_scene(generator: Generator, rate: int) -> Scene:
    """One to three events of .5 to 2.6 s, with gaps."""
    kinds = _drawn(generator, int(generator.integers(1, 4)))
    parts: list[Wave] = []
    for kind in kinds:
        size = round(rate * generator.uniform(0.5, 2.6))
        parts.append(_level(SOUNDS[kind](generator, size, rate), generator))
        parts.append(np.zeros(round(rate * generator.uniform(0.0, 0.1))))
    samples = np.concatenate(parts[:-1])[: 8 * rate]
    noise = generator.uniform(0.0005, 0.004) * generator.standard_normal(samples.size)
    return Scene(samples + noise, kinds, ("alone", "two", "three")[len(kinds) - 1])


def _recordings(esc10: Path, rate: int) -> dict[bool, list[tuple[str, Wave]]]:
    """Read (label, the two loudest seconds) of the recordings, by whether they are to test."""
    import torch
    import torchaudio

    found: dict[bool, list[tuple[str, Wave]]] = {False: [], True: []}
    with (esc10 / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        data, own = soundfile.read(esc10 / row["path"], dtype="float32", always_2d=True)
        mono = torch.from_numpy(data.mean(1))
        wave = torchaudio.functional.resample(mono, own, rate).numpy().astype(np.float64)
        energy = np.concatenate([np.zeros(1), np.cumsum(wave**2)])
        inside = energy[2 * rate :] - energy[: -2 * rate]  # of two seconds from each sample on
        start = int(inside.argmax()) if inside.size else 0
        found[row["fold"] == "5"].append((row["label"], wave[start : start + 2 * rate]))
    return found


def _esc_scene(recordings: list[tuple[str, Wave]], generator: Generator, rate: int) -> Scene:
    first, second = (recordings[i] for i in generator.permutation(len(recordings))[:2])
    while first[0] == second[0]:
        second = recordings[int(generator.integers(len(recordings)))]
    over = bool(generator.random() < 0.4)
    a, b = (_level(wave, generator) for _, wave in (first, second))
    samples = np.zeros(4 * rate)
    start = round(rate * (generator.uniform(0, 0.4) if over else generator.uniform(1.6, 2.0)))
    samples[: a.size] += a
    samples[start : start + b.size] += b
    samples = samples[: max(a.size, start + b.size)]
    kinds = (first[0], second[0])
    # Which of two at once is told first would be nobody's to hear.
    return Scene(samples, tuple(sorted(kinds)) if over else kinds, "over" if over else "after")


_RATES = {"pairs": 16_000, "uneven": 22_050, "esc10": 32_000}


def open_world(name: str, folder: Path, esc10: Path | None = None) -> ForeignWorld | None:
    """Make a world in a folder, or find it as it was made before.

    Args:
        name: one of ``WORLDS``.
        folder: holds a folder for each world.
        esc10: folder of ESC-10 with its ``labels.csv`` (path, label, fold).

    Returns:
        The world, None where its recordings are not there.
    """
    names = _ESC_NAMES if name == "esc10" else NAMES
    small = _ESC_SMALL if name == "esc10" else SMALL
    words = {
        kind: frozenset(word for text in told for word in text.split()) - small
        for kind, told in names.items()
    }
    own = folder / f"{name}-{code_of('sounds', 'worlds')}"
    if not (own / "truth.json").exists():
        makers = _makers(name, esc10)
        if makers is None:
            return None
        _write(own, makers, names, _RATES[name])
    truth = json.loads((own / "truth.json").read_text(encoding="utf-8"))
    return ForeignWorld(name, own, truth, words)


def code_of(*modules: str, text: str = "") -> str:
    """Name the code of some modules of this folder: what other code made is made anew."""
    here = Path(__file__).parent
    code = b"".join((here / f"{name}.py").read_bytes() for name in modules)
    return hashlib.sha256(code + text.encode()).hexdigest()[:8]


Maker = Callable[[Generator, int], Scene]


def _makers(name: str, esc10: Path | None) -> tuple[Maker, Maker] | None:
    """Give what makes a scene to train, and one to test."""
    if name != "esc10":
        maker = {"pairs": pairs_scene, "uneven": uneven_scene}[name]
        return maker, maker
    if esc10 is None or not (esc10 / "labels.csv").exists():
        return None
    held = _recordings(esc10, _RATES[name])
    return (lambda g, rate: _esc_scene(held[False], g, rate)), (
        lambda g, rate: _esc_scene(held[True], g, rate)
    )


def _write(
    folder: Path, makers: tuple[Maker, Maker], names: Mapping[str, Sequence[str]], rate: int
) -> None:
    truth: dict[str, Any] = {}
    for number, (split, count) in enumerate((("train", TRAIN), ("test", TEST))):
        (folder / split).mkdir(parents=True, exist_ok=True)
        rows = []
        for index in range(count):
            generator = np.random.default_rng([20, number, index])
            scene = makers[number](generator, rate)
            name = f"{split}_{index:04d}.wav"
            samples = np.clip(scene.samples, -1, 1)
            soundfile.write(folder / split / name, samples, rate, subtype="PCM_16")
            rows.append((name, tell(scene, names, generator)))
            truth[name] = scene.kinds
        write_captions(folder / f"{split}.csv", dict(rows))
    # Last: a folder without it is made anew.
    (folder / "truth.json").write_text(json.dumps(truth) + "\n", encoding="utf-8")


def write_captions(path: Path, captions: Mapping[str, Sequence[str]]) -> Path:
    """Write ``file_name,caption_1,...``, rows in the order of the mapping."""
    most = max(map(len, captions.values()))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", *(f"caption_{i + 1}" for i in range(most))])
        writer.writerows([name, *told] for name, told in captions.items())
    return path
