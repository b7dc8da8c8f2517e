"""A captioned world of two-event scenes, in which order and faintness matter.

A caption names two sounds, says which came first and which, if any, was faint. The pairs of the
test clips never occur in training, but the same two sounds the other way round do, so naming both
is not enough: a captioner that does not hear the order tells the story it was trained on.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.randomness import stream
from capfix_cli.demo.synthetic_sounds import RATE, SOUNDS, Samples, Wave

SECONDS = 4.0  # a clip
FAINT_SHARE = 0.3  # scenes with one faint event
FAINT_DB = -16.0  # a faint event beside a plain one
FLOOR_RMS = 0.0015  # noise under everything, some 20 dB below a faint event
LOUD_RMS = 0.12  # a plain event
TEST_SHIFTS = 4  # of 15, see _split_pairs

Progress = Callable[[int, int], None]  # clips done, clips in all


@dataclass(frozen=True)
class Kind:
    """One kind of sound and how people put it.

    Attributes:
        name: the kind, and a key of ``SOUNDS`` where it is synthesised.
        phrases: (subject, verb, participle) triples: ``("a dog", "barks", "barking")``.
        words: the words that give the kind away in a caption; no two kinds share one.
    """

    name: str
    phrases: tuple[tuple[str, str, str], ...]
    words: frozenset[str]


@dataclass(frozen=True)
class Scene:
    """Two different kinds of sound, the first one before the second."""

    first: str
    second: str
    first_faint: bool = False
    second_faint: bool = False


@dataclass(frozen=True)
class World:
    """Where a world is on disk.

    Attributes:
        folder: the world's folder; the rest is inside it.
        train_audio: folder of training clips, FLAC, 16 kHz, mono.
        test_audio: folder of test clips.
        train_captions: CSV with ``file_name`` and ``caption_1`` … ``caption_5``.
        test_captions: the same for the test clips.
        truth: JSON, file name -> the two kinds in order, for the clips of both.
    """

    folder: Path
    train_audio: Path
    test_audio: Path
    train_captions: Path
    test_captions: Path
    truth: Path


def _kind(name: str, words: str, *phrases: str) -> Kind:
    triples = (phrase.split("|") for phrase in phrases)
    return Kind(name, tuple((a, b, c) for a, b, c in triples), frozenset(words.split()))


_ALL_KINDS = (
    _kind("siren", "siren", "a siren|wails|wailing", "a siren|sounds|sounding"),
    _kind("bell", "bell", "a bell|rings|ringing", "a church bell|tolls|tolling"),
    _kind("drum", "drum drummer", "a drum|beats|beating", "a drummer|plays|playing"),
    _kind("rain", "rain", "rain|falls|falling", "rain|pours down|pouring down"),
    _kind("dog", "dog", "a dog|barks|barking", "a dog|woofs|woofing"),
    _kind("engine", "engine motor", "an engine|hums|humming", "a motor|runs|running"),
    _kind(
        "whistle",
        "whistles whistling",
        *("a person|whistles|whistling", "someone|whistles a tune|whistling a tune"),
    ),
    _kind("clock", "clock", "a clock|ticks|ticking", "a clock|runs|running"),
    _kind("bird", "bird birds", "a bird|chirps|chirping", "birds|sing|singing"),
    _kind(
        "footsteps",
        "footsteps walks walking",
        *("footsteps|go by|going by", "a person|walks|walking"),
    ),
    _kind("alarm", "alarm", "an alarm|beeps|beeping", "an alarm|goes off|going off"),
    _kind("water", "water", "water|bubbles|bubbling", "water|gurgles|gurgling"),
    _kind("wind", "wind", "the wind|blows|blowing", "wind|howls|howling"),
    _kind("horn", "horn", "a horn|honks|honking", "a car horn|blares|blaring"),
    _kind(
        "hammer",
        "hammer hammers hammering",
        *("a hammer|strikes metal|striking metal", "someone|hammers|hammering"),
    ),
    _kind("phone", "phone telephone", "a phone|rings|ringing", "a telephone|rings|ringing"),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL_KINDS}

# Each gives one caption; a, b are clauses ("a dog barks"), x, y noun phrases ("a dog barking").
TEMPLATES = (
    "{a} and then {b}",
    "{a} before {b}",
    "{b} after {a}",
    "{x} followed by {y}",
    "{y} preceded by {x}",
)
_FAINT = ("faintly", "in the distance", "far away")
# Between two events, these say that the one named first came second.
_INVERTING = frozenset({"after", "preceded"})


def captions(scene: Scene, rng: Generator) -> list[str]:
    """Give five different captions of a scene, one of each template, shuffled."""
    faint = (scene.first_faint, scene.second_faint)
    return sequence_captions(KINDS[scene.first], KINDS[scene.second], rng, faint)


def sequence_captions(
    first: Kind, second: Kind, rng: Generator, faint: tuple[bool, bool] = (False, False)
) -> list[str]:
    """Give five different captions that say ``first`` came before ``second``."""
    told = []
    for index in rng.permutation(len(TEMPLATES)):
        a, x = _tell(first, faint[0], rng)
        b, y = _tell(second, faint[1], rng)
        told.append(TEMPLATES[index].format(a=a, b=b, x=x, y=y))
    return told


def _tell(kind: Kind, faint: bool, rng: Generator) -> tuple[str, str]:
    """Give a kind as clause and as noun phrase, with the same phrasing."""
    subject, verb, participle = kind.phrases[rng.integers(len(kind.phrases))]
    adverb = f" {_FAINT[rng.integers(len(_FAINT))]}" if faint else ""
    return f"{subject} {verb}{adverb}", f"{subject} {participle}{adverb}"


def describes(caption: str, first: str | Kind, second: str | Kind) -> tuple[int, bool]:
    """Say how many of two events a caption names, and whether it names both in the right order.

    Events are found by their kinds' words at their first mention. The order of mention is the
    order told, unless "after" or "preceded" stands between the two, or "before" leads both.

    Args:
        caption: any text; case and punctuation do not matter.
        first: the kind heard first, or its name in ``KINDS``.
        second: the kind heard second.

    Returns:
        (events named, 0 to 2; whether both are named and in the right order).
    """
    tokens = re.findall(r"[a-z]+", caption.lower())
    early, late = (
        _mention(tokens, KINDS[kind] if isinstance(kind, str) else kind) for kind in (first, second)
    )
    if early is None or late is None:
        return (early is not None) + (late is not None), False
    start, stop = sorted((early, late))
    inverted = (
        any(token in _INVERTING for token in tokens[start:stop]) or "before" in tokens[:start]
    )
    return 2, (early < late) != inverted


def _mention(tokens: Sequence[str], kind: Kind) -> int | None:
    return next((place for place, token in enumerate(tokens) if token in kind.words), None)


def render(scene: Scene, generator: Generator) -> Samples:
    """Play a scene: 4 s at 16 kHz, float32 [64000] within [-1, 1].

    The second event sets in about half way, up to 0.15 s before the first has faded, over a quiet
    noise floor.
    """
    total = round(SECONDS * RATE)
    out = FLOOR_RMS * generator.standard_normal(total)
    change = generator.uniform(1.7, 2.3)
    overlap = generator.uniform(0.05, 0.15)
    spans = ((generator.uniform(0, 0.2), change), (change - overlap, SECONDS))
    events = ((scene.first, scene.first_faint), (scene.second, scene.second_faint))
    for (name, faint), (start, stop) in zip(events, spans, strict=True):
        wave = SOUNDS[name](generator, stop - start).astype(np.float64)
        decibels = generator.uniform(-2, 2) + (FAINT_DB if faint else 0.0)
        # Level by RMS, but keep room for a second event under sharp peaks.
        gain = min(LOUD_RMS / np.sqrt(np.mean(wave**2)), 0.7) * 10 ** (decibels / 20)
        place = round(start * RATE)
        wave = _fade(wave)[: total - place]
        out[place : place + wave.size] += gain * wave
    return np.clip(out, -1.0, 1.0).astype(np.float32)


def _fade(wave: Wave) -> Wave:
    linear_confidence = np.minimum(1.0, np.arange(wave.size) / (0.03 * RATE))
    return wave * linear_confidence * linear_confidence[::-1]


def make_world(
    folder: Path,
    train_clips: int,
    test_clips: int,
    seed: int,
    progress: Progress | None = None,
) -> World:
    """Write a world to disk: the same arguments give the same bytes.

    No ordered pair of kinds is in both train and test. From 16 clips on, a split has every kind in
    both positions.

    Args:
        folder: a new or empty folder.
        train_clips: training clips, at least 1.
        test_clips: test clips, at least 1.
        seed: decides everything.
        progress: called with (clips done, clips in all) after each clip.

    Raises:
        CapfixError: where the folder has something in it or cannot be made, or a count is below 1.
    """
    if min(train_clips, test_clips) < 1:
        raise CapfixError(
            f"A world cannot have {train_clips} training and {test_clips} test clips.",
            "Ask for at least one of each.",
        )
    claim_folder(folder)
    world = World(
        folder,
        *(folder / "train", folder / "test"),
        *(folder / "train.csv", folder / "test.csv"),
        folder / "truth.json",
    )
    splits = (
        (world.train_audio, world.train_captions, train_clips),
        (world.test_audio, world.test_captions, test_clips),
    )
    truth: dict[str, tuple[str, str]] = {}
    pairs = _split_pairs(stream(seed, "world.pairs"))
    for number, (audio, table, clips) in enumerate(splits):
        audio.mkdir()
        rows = []
        scenes = _scenes(pairs[number], clips, stream(seed, "world.scenes", number))
        for index, scene in enumerate(scenes):
            name = f"{audio.name}-{index:05d}.flac"
            # A generator of its own for each clip: more clips leave the sound of these alone.
            generator = stream(seed, "world.sounds", number, index)
            soundfile.write(audio / name, render(scene, generator), RATE, subtype="PCM_16")
            rows.append((name, captions(scene, generator)))
            truth[name] = (scene.first, scene.second)
            if progress:
                progress(len(truth), train_clips + test_clips)
        write_captions(table, rows)
    world.truth.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return world


def _split_pairs(generator: Generator) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Part the 240 ordered pairs into 176 for training and 64 for testing.

    With the kinds in a circle, the pairs at one distance have every kind once in each position, so
    whole distances are parted. Of two opposite distances at most one is tested: the reverse of
    every tested pair is trained.
    """
    circle = generator.permutation(sorted(KINDS)).tolist()
    size = len(circle)
    chosen = generator.choice(np.arange(1, size // 2), TEST_SHIFTS, replace=False)
    held_out = {int(shift) if generator.random() < 0.5 else size - int(shift) for shift in chosen}
    train: list[tuple[str, str]] = []
    test: list[tuple[str, str]] = []
    for shift in generator.permutation(np.arange(1, size)).tolist():
        pairs = [(circle[i], circle[(i + shift) % size]) for i in range(size)]
        (test if shift in held_out else train).extend(pairs)
    return train, test


def _scenes(pairs: list[tuple[str, str]], clips: int, generator: Generator) -> list[Scene]:
    """Go round the pairs until there are enough, then shuffle; one event is faint now and then."""
    scenes = []
    for index in range(clips):
        faint = generator.random() < FAINT_SHARE
        which = generator.random() < 0.5
        scenes.append(Scene(*pairs[index % len(pairs)], faint and which, faint and not which))
    return [scenes[index] for index in generator.permutation(clips)]


def claim_folder(folder: Path) -> None:
    """Make a folder, or accept an empty one.

    Raises:
        CapfixError: where it has something in it, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise CapfixError(
            f"The folder {folder} cannot be made: {error.strerror}.", "Name another folder."
        ) from error
    if taken:
        raise CapfixError(f"The folder {folder} is not empty.", "Name a new folder or empty it.")


def write_captions(path: Path, rows: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Write (file name, five captions) rows in the captions layout."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file_name", *(f"caption_{number}" for number in range(1, 6))])
        writer.writerows([name, *told] for name, told in rows)
