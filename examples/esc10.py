"""Build a captioning set from ESC-10 and train on it the baseline that capfix is there to repair.

    python examples/esc10.py FOLDER --esc10 PATH/TO/ESC-10

ESC-10 (K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015)
has 400 clips of ten classes in five folds, and no captions. Here every clip is captioned by a small
grammar, and clips of different classes are joined to two-event scenes whose captions say which
sound came first. Training clips come from folds 1 to 4, test clips from fold 5: clips cut from one
recording are always in one fold, so no recording is in both.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator

from capfix_cli.core.errors import EXIT_OK, EXIT_USAGE, CapfixError
from capfix_cli.demo.synthetic_sounds import RATE, Samples
from capfix_cli.demo.synthetic_world import (
    Kind,
    World,
    claim_folder,
    sequence_captions,
    write_captions,
)

SECONDS = 5.0  # a clip
TEST_FOLD = 5
LEVEL_RMS = 0.1  # an event, unless its peaks forbid it
PEAK = 0.7  # an event's highest, which leaves room for the gain below
GAIN_DB = 2.0  # events are this much louder or softer, at random
OVERLAP_SECONDS = 0.1  # of the two events of a mix
FADE_SECONDS = 0.03  # a cut without a fade clicks

Progress = Callable[[int, int], None]  # clips done, clips in all
Event = tuple[str, Path]  # class, recording

# Class -> the words that give it away, and how people put it: "subject|verb|participle".
_GRAMMAR = {
    "dog bark": ("dog puppy", "a dog|barks|barking", "a dog|woofs|woofing", "a puppy|yaps|yapping"),
    "rain": ("rain", "rain|falls|falling", "rain|pours down|pouring down"),
    "sea waves": ("waves sea", "ocean waves|roll in|rolling in", "the sea|roars|roaring"),
    "baby cry": ("baby infant", "a baby|cries|crying", "an infant|wails|wailing"),
    "clock tick": ("clock", "a clock|ticks|ticking", "a wall clock|runs|running"),
    "person sneeze": ("sneezes sneezing", "a person|sneezes|sneezing", "someone|sneezes|sneezing"),
    "helicopter": ("helicopter", "a helicopter|flies by|flying by", "a helicopter|hovers|hovering"),
    "chainsaw": ("chainsaw", "a chainsaw|buzzes|buzzing", "a chainsaw|cuts wood|cutting wood"),
    "rooster": ("rooster cockerel", "a rooster|crows|crowing", "a cockerel|crows|crowing"),
    "fire crackling": (
        *("fire campfire flames", "a fire|crackles|crackling"),
        *("a campfire|burns|burning", "flames|crackle|crackling"),
    ),
}


def _kind(name: str, words: str, *phrases: str) -> Kind:
    triples = (phrase.split("|") for phrase in phrases)
    return Kind(name, tuple((a, b, c) for a, b, c in triples), frozenset(words.split()))


KINDS = {name: _kind(name, *grammar) for name, grammar in _GRAMMAR.items()}

# Captions of a clip with one event, of its clause ("a dog barks") or noun phrase ("a dog barking").
SINGLE_TEMPLATES = ("{a}", "{x}", "the sound of {x}", "nothing but {x}", "{x} can be heard")


def build(
    folder: Path,
    esc10: Path,
    seed: int,
    mixes_train: int = 600,
    mixes_test: int = 150,
    *,
    progress: Progress | None = None,
) -> World:
    """Write the captioning set to disk: the same arguments give the same bytes.

    Each split has every clip of its folds once by itself, and mixes of two different classes one
    after the other; the mixes go round all 90 ordered pairs of classes.

    Args:
        folder: a new or empty folder.
        esc10: ESC-10 as it is distributed, one folder a class.
        seed: decides everything.
        mixes_train: two-event clips for training.
        mixes_test: two-event clips for testing.
        progress: called with (clips done, clips in all) after each clip.

    Returns:
        The set: clips are FLAC, 16 kHz, mono, 5 s; ``truth`` has each clip's one or two classes
        in order.

    Raises:
        CapfixError: where ESC-10 is missing or not whole, or the folder is not empty.
    """
    splits = _find_clips(esc10)
    claim_folder(folder)
    world = World(
        folder,
        *(folder / "train", folder / "test"),
        *(folder / "train.csv", folder / "test.csv"),
        folder / "truth.json",
    )
    scenes = [
        _scenes(clips, mixes, np.random.default_rng([seed, number]))
        for number, (clips, mixes) in enumerate(zip(splits, (mixes_train, mixes_test), strict=True))
    ]
    places = ((world.train_audio, world.train_captions), (world.test_audio, world.test_captions))
    truth: dict[str, list[str]] = {}
    for number, (audio, table) in enumerate(places):
        audio.mkdir()
        rows = []
        read = functools.cache(_read)  # a recording is heard in several clips
        for index, scene in enumerate(scenes[number]):
            name = f"{audio.name}-{index:05d}.flac"
            generator = np.random.default_rng([seed, 2, number, index])
            samples = _play([read(path) for _, path in scene], generator)
            soundfile.write(audio / name, samples, RATE, subtype="PCM_16")
            truth[name] = [kind for kind, _ in scene]
            rows.append((name, _captions(truth[name], generator)))
            if progress:
                progress(len(truth), sum(map(len, scenes)))
        write_captions(table, rows)
    world.truth.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return world


def _find_clips(esc10: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Give class -> recordings for training and for testing.

    Class and fold are in the names: ``001 - Dog bark/1-100032-A.ogg`` is a dog of fold 1.
    """
    hint = "Get ESC-10 from https://github.com/karolpiczak/ESC-10 and name its folder with --esc10."
    if not esc10.is_dir():
        raise CapfixError(f"There is no ESC-10 folder at {esc10}.", hint)
    train: dict[str, list[Path]] = {name: [] for name in KINDS}
    test: dict[str, list[Path]] = {name: [] for name in KINDS}
    for path in sorted(esc10.glob("* - */?-*.ogg")):
        name = path.parent.name.partition(" - ")[2].lower()
        if name in KINDS:
            (test if path.name.startswith(f"{TEST_FOLD}-") else train)[name].append(path)
    for what, clips in (("training", train), ("test", test)):
        if absent := [name for name, paths in clips.items() if not paths]:
            raise CapfixError(f"{esc10} has no {what} clips of: {', '.join(absent)}.", hint)
    return train, test


def _scenes(
    clips: dict[str, list[Path]], mixes: int, generator: Generator
) -> list[tuple[Event, ...]]:
    """Take every clip once by itself, add mixes, and shuffle."""
    scenes: list[tuple[Event, ...]] = [
        ((name, path),) for name, paths in clips.items() for path in paths
    ]
    pairs = generator.permutation(list(itertools.permutations(clips, 2))).tolist()
    for index in range(mixes):
        names = pairs[index % len(pairs)]
        scenes.append(
            tuple((name, clips[name][generator.integers(len(clips[name]))]) for name in names)
        )
    return [scenes[index] for index in generator.permutation(len(scenes))]


def _read(path: Path) -> Samples:
    """Read a recording as mono float32 at ``RATE``."""
    # Imported here to keep --help quick.
    import torch
    import torchaudio

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise CapfixError(
            f"The clip {path} cannot be read: {error.error_string}", "Get it anew from ESC-10."
        ) from error
    mono = torch.from_numpy(samples.mean(axis=1))
    resampled: Samples = torchaudio.functional.resample(mono, rate, RATE).numpy()
    return resampled


def _play(events: Sequence[Samples], generator: Generator) -> Samples:
    """Play one event, or two one after the other: float32 [80000] within [-1, 1]."""
    total = round(SECONDS * RATE)
    change = round(generator.uniform(0.46, 0.54) * total)
    overlap = round(OVERLAP_SECONDS * RATE)
    spans = [(0, total)] if len(events) == 1 else [(0, change), (change - overlap, total)]
    out = np.zeros(total)
    for wave, (start, stop) in zip(events, spans, strict=True):
        out[start:stop] += _level(_loudest(wave, stop - start), generator)
    return np.clip(out, -1.0, 1.0).astype(np.float32)


def _loudest(wave: Samples, size: int) -> Samples:
    """Cut out the loudest stretch of ``size`` samples; a shorter wave gets silence behind it."""
    if wave.size <= size:
        return np.pad(wave, (0, size - wave.size))
    power = np.concatenate([[0.0], np.cumsum(wave.astype(np.float64) ** 2)])
    energy = power[size:] - power[:-size]
    # The first of the loudest stretches has a lone bark on its very edge; the middle one has not.
    starts = np.flatnonzero(energy >= 0.98 * energy.max())
    start = int(starts[starts.size // 2])
    return wave[start : start + size]


def _level(wave: Samples, generator: Generator) -> Samples:
    """Bring a wave to about the same loudness as any other, and fade its ends."""
    decibels = generator.uniform(-GAIN_DB, GAIN_DB)
    peak = float(np.abs(wave).max())
    rms = float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))
    # A few sharp barks in silence have so low an RMS that it would drive their peaks into clipping.
    gain = min(LEVEL_RMS / rms, PEAK / peak) * 10 ** (decibels / 20) if peak else 0.0
    linear_confidence = np.minimum(1.0, np.arange(wave.size) / (FADE_SECONDS * RATE))
    return (wave * gain * linear_confidence * linear_confidence[::-1]).astype(np.float32)


def _captions(names: Sequence[str], generator: Generator) -> list[str]:
    """Give five different captions of one event, or of two in their order."""
    if len(names) == 2:
        return sequence_captions(KINDS[names[0]], KINDS[names[1]], generator)
    phrases = KINDS[names[0]].phrases
    told = []
    for index in generator.permutation(len(SINGLE_TEMPLATES)):
        subject, verb, participle = phrases[generator.integers(len(phrases))]
        clause, noun = f"{subject} {verb}", f"{subject} {participle}"
        told.append(SINGLE_TEMPLATES[index].format(a=clause, x=noun))
    return told


def train_baseline(world: World, epochs: int, seed: int) -> Path:
    """Train the document's failing baseline on a set and save it as ``model.pt`` in its folder."""
    from capfix_cli.captioners.own.own_checkpoint import save
    from capfix_cli.captioners.own.own_config import BASELINE
    from capfix_cli.training.caption_data import load_training_clips
    from capfix_cli.training.training_loop import TrainingOptions, fit

    clips = load_training_clips(
        world.train_captions, world.train_audio, BASELINE.front_end, _counter("Features")
    )
    options = TrainingOptions(epochs=epochs, seed=seed)
    count = _counter("Training steps")
    captioner = fit(BASELINE, clips, options, progress=lambda done, steps, loss: count(done, steps))
    return save(captioner, world.folder / "model.pt", training=options.facts(5))


def _counter(what: str) -> Progress:
    """Count on standard error, from the third second on."""
    start = shown = time.monotonic()
    terminal = sys.stderr.isatty()  # its line is written over; a log gets a line each time

    def count(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - start > 2 and (now - shown > 1 or done == total):
            shown = now
            begin, end = "\r" if terminal else "", "" if terminal and done < total else "\n"
            print(f"{begin}{what}: {done} of {total}", end=end, file=sys.stderr, flush=True)

    return count


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new or empty folder")
    esc10 = Path(os.environ.get("ESC10") or "../shared/data/esc10")
    parser.add_argument("--esc10", type=Path, default=esc10, help="ESC-10 (default: $ESC10)")
    parser.add_argument("--epochs", type=_count, default=2, help="few, to collapse; 0: set only")
    parser.add_argument("--seed", type=_count, default=0)
    parser.add_argument("--mixes-train", type=_count, default=600, metavar="N")
    parser.add_argument("--mixes-test", type=_count, default=150, metavar="N")
    given = parser.parse_args(arguments)
    mixes = (given.mixes_train, given.mixes_test)
    try:
        counter = _counter("Clips")
        world = build(given.folder, given.esc10, given.seed, *mixes, progress=counter)
        if given.epochs:
            train_baseline(world, given.epochs, given.seed)
    except CapfixError as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_USAGE
    if given.epochs:
        model, audio = (shlex.quote(str(world.folder / name)) for name in ("model.pt", "test"))
        print(f"Next: capfix diagnose {model} --audio {audio}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
