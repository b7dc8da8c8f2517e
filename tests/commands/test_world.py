"""The synthesised world: reproducible, unleaked, told right, and its sixteen kinds separable."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from capfix_cli.core.errors import CapfixError
from capfix_cli.demo import synthetic_world as world_module
from capfix_cli.demo.synthetic_sounds import PEAK, RATE, SOUNDS
from capfix_cli.demo.synthetic_world import (
    KINDS,
    TEMPLATES,
    Kind,
    Scene,
    World,
    captions,
    claim_folder,
    describes,
    make_world,
    render,
    sequence_captions,
    write_captions,
)

TRAIN_PAIRS, TEST_PAIRS = 176, 64  # as many clips as there are pairs: every pair occurs
FAINT_ADVERBS = ("faintly", "in the distance", "far away")
HEADER = ["file_name", *(f"caption_{number}" for number in range(1, 6))]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("full") / "world", TRAIN_PAIRS, TEST_PAIRS, seed=3)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the synthesis where only names, captions and pairs matter."""
    blank = np.zeros(160, dtype=np.float32)
    monkeypatch.setattr(world_module, "render", lambda scene, generator: blank)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(table: Path) -> dict[str, list[str]]:
    with table.open(encoding="utf-8", newline="") as file:
        header, *body = csv.reader(file)
    assert header == HEADER
    return {name: told for name, *told in body}


def truth(world: World) -> dict[str, tuple[str, str]]:
    read = json.loads(world.truth.read_text(encoding="utf-8"))
    return {name: (first, second) for name, (first, second) in read.items()}


def pairs(world: World, split: str) -> set[tuple[str, str]]:
    return {pair for name, pair in truth(world).items() if name.startswith(split)}


# --- reproducible -----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path):
    first, again, other = (
        digests(make_world(tmp_path / name, 6, 3, seed).folder)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert len(first) == 6 + 3 + 3  # the clips, two tables and the truth
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_numpys_global_generator_is_neither_read_nor_moved(tmp_path: Path):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    one = digests(make_world(tmp_path / "one", 2, 1, seed=1).folder)
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(1)
    assert digests(make_world(tmp_path / "two", 2, 1, seed=1).folder) == one


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_is_decided_by_its_generator_alone(name: str):
    one, same, other = (SOUNDS[name](np.random.default_rng(seed), 0.8) for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


# --- on disk ----------------------------------------------------------------------------------


def test_files_are_16_khz_mono_4_s_within_full_scale(full: World):
    files = [*full.train_audio.iterdir(), *full.test_audio.iterdir()]
    assert len(files) == TRAIN_PAIRS + TEST_PAIRS
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        assert (rate, samples.shape) == (16_000, (64_000, 1)), file.name
        # 0.02 is some 15 dB below a plain event.
        assert np.sqrt(np.mean(samples**2)) > 0.02, file.name
        assert np.abs(samples).max() <= 1.0, file.name


def test_tables_truth_and_folders_name_the_same_clips(full: World):
    assert (full.train_audio.parent, full.test_audio.parent) == (full.folder, full.folder)
    splits = ((full.train_audio, full.train_captions), (full.test_audio, full.test_captions))
    named = [set(rows(table)) for _, table in splits]
    assert named == [{file.name for file in audio.iterdir()} for audio, _ in splits]
    assert set(truth(full)) == named[0] | named[1]
    assert not named[0] & named[1]


def test_progress_counts_every_clip(tmp_path: Path, silent: None):
    seen: list[tuple[int, int]] = []
    make_world(tmp_path / "world", 3, 2, 0, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 5) for done in range(1, 6)]


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path):
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "train.csv").write_text("mine", encoding="utf-8")
    before = digests(folder)
    with pytest.raises(CapfixError, match="not empty") as caught:
        make_world(folder, 2, 1, seed=0)
    assert caught.value.hint
    assert digests(folder) == before
    assert [path.name for path in folder.iterdir()] == ["train.csv"]


def test_a_world_is_not_written_over_a_world(tmp_path: Path, silent: None):
    folder = make_world(tmp_path / "world", 2, 1, seed=0).folder
    before = digests(folder)
    with pytest.raises(CapfixError, match="not empty"):
        make_world(folder, 2, 1, seed=1)
    assert digests(folder) == before


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for folder in (tmp_path / "file", tmp_path / "file" / "world"):
        with pytest.raises(CapfixError, match="cannot be made"):
            claim_folder(folder)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_an_empty_folder_and_missing_parents_are_accepted(tmp_path: Path):
    claim_folder(tmp_path)
    claim_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("counts", [(0, 1), (1, 0), (-1, 5)])
def test_a_count_below_one_is_refused_before_anything_is_made(
    tmp_path: Path, counts: tuple[int, int]
):
    with pytest.raises(CapfixError, match=f"{counts[0]} training and {counts[1]} test"):
        make_world(tmp_path / "world", *counts, seed=0)
    assert not (tmp_path / "world").exists()


# --- pairs ------------------------------------------------------------------------------------


def test_no_ordered_pair_is_in_both_splits(full: World):
    train, test = pairs(full, "train"), pairs(full, "test")
    assert (len(train), len(test)) == (TRAIN_PAIRS, TEST_PAIRS)
    assert not train & test
    assert train | test == set(itertools.permutations(KINDS, 2))


@pytest.mark.parametrize("seed", range(5))
def test_the_reverse_of_every_tested_pair_is_trained(tmp_path: Path, silent: None, seed: int):
    world = make_world(tmp_path / "world", TRAIN_PAIRS, TEST_PAIRS, seed)
    train, test = pairs(world, "train"), pairs(world, "test")
    assert not train & test
    assert len(test) == TEST_PAIRS
    assert {(second, first) for first, second in test} <= train


def test_sixteen_clips_have_every_kind_in_both_positions(tmp_path: Path, silent: None):
    world = make_world(tmp_path / "world", 16, 16, seed=4)
    for split in ("train", "test"):
        firsts, seconds = zip(*pairs(world, split), strict=True)
        assert set(firsts) == set(seconds) == set(KINDS)


def test_more_clips_leave_the_pairs_apart(tmp_path: Path, silent: None):
    world = make_world(tmp_path / "world", TRAIN_PAIRS + 40, TEST_PAIRS + 40, seed=9)
    assert not pairs(world, "train") & pairs(world, "test")


# --- captions ---------------------------------------------------------------------------------


def test_five_distinct_captions_each_of_which_tells_the_truth(full: World):
    told = rows(full.train_captions) | rows(full.test_captions)
    assert len(told) == TRAIN_PAIRS + TEST_PAIRS
    faint = 0
    for name, (first, second) in truth(full).items():
        assert len(told[name]) == len(set(told[name])) == 5, name
        for caption in told[name]:
            assert describes(caption, first, second) == (2, True), caption
            assert describes(caption, second, first) == (2, False), caption
            others = set(KINDS) - {first, second}
            assert not any(describes(caption, other, other)[0] for other in others), caption
        faint += any(adverb in told[name][0] for adverb in FAINT_ADVERBS)
    # 0.3 of the clips have a faint event: 72 of 240, with a standard deviation of 7.
    assert 40 < faint < 105


@pytest.mark.parametrize("faint", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("template", TEMPLATES)
def test_describes_reads_every_template(template: str, faint: tuple[bool, bool]):
    adverbs = [FAINT_ADVERBS if flag else ("",) for flag in faint]
    checked = 0
    for first, second in itertools.permutations(KINDS.values(), 2):
        phrasings = itertools.product(first.phrases, second.phrases, *adverbs)
        for early, late, near, far in phrasings:
            a, x = (f"{early[0]} {verb} {near}".strip() for verb in early[1:])
            b, y = (f"{late[0]} {verb} {far}".strip() for verb in late[1:])
            caption = template.format(a=a, b=b, x=x, y=y)
            assert describes(caption, first, second) == (2, True), caption
            assert describes(caption, second, first) == (2, False), caption
            checked += 1
    assert checked >= 240 * 4


@pytest.mark.parametrize("faint", [(False, False), (True, False), (False, True), (True, True)])
def test_only_faint_events_are_told_as_faint(faint: tuple[bool, bool]):
    scene = Scene("dog", "rain", *faint)
    told = captions(scene, np.random.default_rng(0))
    assert len(set(told)) == 5
    for caption in told:
        adverbs = sum(caption.count(adverb) for adverb in FAINT_ADVERBS)
        assert adverbs == sum(faint), caption
        # Parted where the story turns, the dog's half carries the dog's adverb.
        halves = re.split(r" and then | before | after | followed by | preceded by ", caption)
        assert len(halves) == 2, caption
        for half in halves:
            expected = faint[0] if "dog" in half else faint[1]
            assert any(adverb in half for adverb in FAINT_ADVERBS) == expected, caption


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a dog barks and then rain falls", (2, True)),
        ("A DOG barks, and then: rain.", (2, True)),
        ("rain falls, then a dog barks", (2, False)),
        ("rain falls after a dog barks", (2, True)),
        ("a dog barks after rain falls", (2, False)),
        ("a dog barking preceded by rain", (2, False)),
        ("before rain falls, a dog barks", (2, True)),
        ("before a dog barks, rain falls", (2, False)),
        ("a dog barks", (1, False)),
        ("rain falls after a bell rings", (1, False)),
        ("a dog, a dog, and a dog", (1, False)),
        ("a hotdog in a train", (0, False)),  # parts of words are not words
        ("", (0, False)),
        ("...", (0, False)),
    ],
)
def test_describes_reads_other_captions(caption: str, expected: tuple[int, bool]):
    assert describes(caption, "dog", "rain") == expected


def test_describes_takes_kinds_that_are_not_synthesised():
    saw = Kind("saw", (("a saw", "buzzes", "buzzing"),), frozenset({"saw"}))
    assert describes("a saw buzzes before rain falls", saw, "rain") == (2, True)
    told = sequence_captions(saw, KINDS["rain"], np.random.default_rng(0))
    assert len(set(told)) == 5
    assert all(describes(caption, saw, "rain") == (2, True) for caption in told)


def test_kinds_and_sounds_match_and_no_two_kinds_share_a_word():
    assert len(KINDS) == 16
    assert KINDS.keys() == SOUNDS.keys()
    for one, other in itertools.permutations(KINDS.values(), 2):
        assert not one.words & other.words
    for kind in KINDS.values():
        assert len(kind.phrases) >= 2
        for subject, verb, participle in kind.phrases:
            assert verb != participle
            assert describes(f"{subject} {verb}", kind, kind)[0] == 2
            assert describes(f"{subject} {participle}", kind, kind)[0] == 2


def test_write_captions_quotes_what_needs_it(tmp_path: Path):
    told = ["a dog, barking", 'a "dog"', "c", "d", "é"]
    write_captions(tmp_path / "table.csv", [("one.flac", told)])
    assert rows(tmp_path / "table.csv") == {"one.flac": told}
    assert b"\r" not in (tmp_path / "table.csv").read_bytes()


# --- sounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.001, 0.5, 2.3])
@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_has_the_length_asked_for_and_the_peak(name: str, seconds: float):
    samples = SOUNDS[name](np.random.default_rng(1), seconds)
    assert samples.dtype == np.float32
    assert samples.shape == (round(seconds * RATE),)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= PEAK + 1e-6
    if seconds >= 0.5:
        assert np.abs(samples).max() == pytest.approx(PEAK)


def test_a_faint_event_is_fainter_by_about_16_db():
    def late(faint: bool) -> float:
        scenes = (Scene("dog", kind, second_faint=faint) for kind in ("rain", "siren", "wind"))
        # From 3 s on only the second event sounds.
        tails = [render(scene, np.random.default_rng(7))[3 * RATE :] for scene in scenes]
        return float(np.mean(np.square(tails)))

    assert 10 * np.log10(late(True) / late(False)) == pytest.approx(-16.0, abs=1.0)


def test_a_rendered_scene_is_float32_within_full_scale():
    for seed, (first, second) in enumerate(itertools.pairwise([*KINDS, "siren"])):
        scene = Scene(first, second, first_faint=seed % 3 == 0)
        samples = render(scene, np.random.default_rng(seed))
        assert (samples.dtype, samples.shape) == (np.float32, (64_000,))
        assert np.abs(samples).max() <= 1.0


def test_events_follow_one_another():
    """The same kind, first and then second, moves its energy from one half to the other."""
    generators = [np.random.default_rng(seed) for seed in range(6)]
    for index, generator in enumerate(generators):
        scene = (Scene("whistle", "drum"), Scene("drum", "whistle"))[index % 2]
        spectrum = np.abs(np.fft.rfft(render(scene, generator).reshape(4, RATE))) ** 2
        high = spectrum[:, 1_200:4_000].sum(axis=1)  # bins are 1 Hz; a drum has next to none here
        if scene.first == "whistle":
            assert high[0] > 10 * high[3]
        else:
            assert high[3] > 10 * high[0]


def test_the_sixteen_kinds_are_separable():
    """Nearest centroid on time-averaged log mel, centroids and tests of different seeds."""
    log_mel = torchaudio.transforms.MelSpectrogram(RATE, n_fft=640, hop_length=320, n_mels=64)

    def features(seeds: range) -> torch.Tensor:
        clips = np.stack(
            [
                SOUNDS[name](np.random.default_rng([seed, index]), 1.5)
                for index, name in enumerate(SOUNDS)
                for seed in seeds
            ]
        )
        mel = torch.log(log_mel(torch.from_numpy(clips)) + 1e-6).mean(dim=-1)
        # Without its mean, a clip's loudness says nothing.
        return (mel - mel.mean(dim=1, keepdim=True)).reshape(len(SOUNDS), len(seeds), -1)

    centroids = features(range(8)).mean(dim=1)
    unseen = features(range(100, 108))
    nearest = torch.cdist(unseen.flatten(0, 1), centroids).argmin(dim=1).reshape(len(SOUNDS), -1)
    right = nearest == torch.arange(len(SOUNDS))[:, None]
    assert right.float().mean() > 0.8
    assert (right.float().mean(dim=1) >= 0.5).all()
