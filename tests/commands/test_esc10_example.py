"""``examples/esc10.py``: the captioning set it builds, on a made-up ESC-10 and on the real one."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from capfix_cli.core.errors import EXIT_OK, EXIT_USAGE, CapfixError
from capfix_cli.demo.synthetic_world import World, describes

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "esc10"
RATE, SAMPLES = 16_000, 80_000
# As ESC-10 names its folders.
CLASSES = (
    *("Dog bark", "Rain", "Sea waves", "Baby cry", "Clock tick"),
    *("Person sneeze", "Helicopter", "Chainsaw", "Rooster", "Fire crackling"),
)
NAMES = tuple(name.lower() for name in CLASSES)
FOLDS = range(1, 6)
MIXES = (24, 12)


@pytest.fixture(scope="module")
def esc10() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("esc10_example", ROOT / "examples" / "esc10.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def pitch(kind: int, fold: int) -> float:
    """Hz; 300 from class to class and 20 from fold to fold, so that a clip tells both."""
    return 400.0 + 300 * kind + 20 * fold


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of noise in ESC-10's layout, each recording with a tone that tells its source.

    Two clips a class and fold 1, else one; the tone is in the last half of each.
    """
    folder = tmp_path_factory.mktemp("source") / "ESC-10"
    generator = np.random.default_rng(0)
    time = np.arange(3 * 22_050) / 22_050
    for kind, name in enumerate(CLASSES):
        place = folder / f"{kind + 1:03d} - {name}"
        place.mkdir(parents=True)
        for fold in FOLDS:
            for take in "AB" if fold == 1 else "A":
                tone = np.sin(2 * np.pi * pitch(kind, fold) * time) * (time >= 1.5)
                loudness = 10 ** generator.uniform(-2, -0.3)
                wave = loudness * (tone + 0.02 * generator.standard_normal(time.size))
                path = place / f"{fold}-{1000 + kind}-{take}.ogg"
                soundfile.write(path, wave, 22_050, format="OGG", subtype="VORBIS")
    # What a download has beside the clips is passed over.
    (folder / "README.md").write_text("read me", encoding="utf-8")
    (folder / "labels.csv").write_text("path,label,fold\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def world(esc10: ModuleType, fake: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    built = esc10.build(tmp_path_factory.mktemp("set") / "world", fake, 0, *MIXES)
    assert isinstance(built, World)
    return built


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(table: Path) -> dict[str, list[str]]:
    with table.open(encoding="utf-8", newline="") as file:
        header, *body = csv.reader(file)
    assert header == ["file_name", *(f"caption_{number}" for number in range(1, 6))]
    return {name: told for name, *told in body}


def truth(world: World) -> dict[str, list[str]]:
    read: dict[str, list[str]] = json.loads(world.truth.read_text(encoding="utf-8"))
    return read


def check_set(world: World, kinds: dict[str, object], singles: tuple[int, int]) -> None:
    """Check what holds whatever ESC-10's content is: files, tables, truth and captions agree."""
    told = {}
    for audio, table in (
        (world.train_audio, world.train_captions),
        (world.test_audio, world.test_captions),
    ):
        captions = rows(table)
        assert set(captions) == {file.name for file in audio.iterdir()}
        told.update(captions)
        for file in audio.iterdir():
            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
            assert (rate, samples.shape) == (RATE, (SAMPLES, 1)), file.name
            # Levelled by RMS (0.1) or, where sharp crackles forbid it, by peak (0.7), less 2 dB.
            rms, peak = np.sqrt(np.mean(samples**2)), np.abs(samples).max()
            assert rms > 0.07 or peak > 0.5, file.name
            assert rms < 0.14, file.name
            assert peak < 1.0, file.name
    events = truth(world)
    assert set(told) == set(events)
    lone = Counter(
        (name.partition("-")[0], told_of[0]) for name, told_of in events.items() if len(told_of) < 2
    )
    expected = {("train", name): singles[0] for name in NAMES}
    assert lone == expected | {("test", name): singles[1] for name in NAMES}
    for name, heard in events.items():
        assert len(told[name]) == len(set(told[name])) == 5, name
        others = set(NAMES) - set(heard)
        for caption in told[name]:
            assert not any(describes(caption, *[kinds[other]] * 2)[0] for other in others), caption
            if len(heard) == 2:
                first, second = (kinds[kind] for kind in heard)
                assert describes(caption, first, second) == (2, True), caption
                assert describes(caption, second, first) == (2, False), caption
            else:
                assert describes(caption, *[kinds[heard[0]]] * 2)[0] == 2, caption


# --- the set ----------------------------------------------------------------------------------


def test_every_clip_once_and_as_many_mixes_as_asked_for(esc10: ModuleType, world: World):
    check_set(world, esc10.KINDS, singles=(5, 1))
    mixes = Counter(
        name.partition("-")[0] for name, heard in truth(world).items() if len(heard) == 2
    )
    assert (mixes["train"], mixes["test"]) == MIXES
    assert all(len(set(heard)) == len(heard) for heard in truth(world).values())


def test_mixes_go_round_the_ordered_pairs(world: World):
    for split, count in zip(("train", "test"), MIXES, strict=True):
        pairs = [
            tuple(heard)
            for name, heard in truth(world).items()
            if len(heard) == 2 and name.startswith(split)
        ]
        assert len(set(pairs)) == len(pairs) == count  # fewer than the 90 there are


def test_clips_hold_their_classes_in_order_and_from_the_splits_own_folds(world: World):
    def heard_at(samples: np.ndarray) -> tuple[str, int]:
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
        loudest = np.argmax(spectrum) * RATE / samples.size
        kind, rest = divmod(loudest - 400, 300)
        return NAMES[int(kind)], round(rest / 20)

    folds: dict[str, set[int]] = {"train": set(), "test": set()}
    for name, expected in truth(world).items():
        split = name.partition("-")[0]
        samples, _ = soundfile.read(world.folder / split / name)
        # The change is 2.3 to 2.7 s into a mix.
        parts = [samples[:35_000], samples[45_000:]] if len(expected) == 2 else [samples]
        found = [heard_at(part) for part in parts]
        assert [kind for kind, _ in found] == expected, name
        folds[split].update(fold for _, fold in found)
    assert folds == {"train": {1, 2, 3, 4}, "test": {5}}


def test_events_are_brought_to_one_level(world: World):
    """The sources differ by up to 34 dB; alone, they are within the 4 dB of the random gain."""
    levels = []
    for name, heard in truth(world).items():
        if len(heard) == 1:
            samples, _ = soundfile.read(world.folder / name.partition("-")[0] / name)
            levels.append(20 * np.log10(np.sqrt(np.mean(samples**2))))
    assert len(levels) == 60
    assert 1.0 < max(levels) - min(levels) < 4.5


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(
    esc10: ModuleType, fake: Path, world: World, tmp_path: Path
):
    first = digests(world.folder)
    assert len(first) == 50 + 10 + sum(MIXES) + 3  # clips, mixes, two tables and the truth
    assert digests(esc10.build(tmp_path / "again", fake, 0, *MIXES).folder) == first
    other = digests(esc10.build(tmp_path / "other", fake, 1, *MIXES).folder)
    assert other.keys() == first.keys()
    assert not set(other.values()) & set(first.values())


def test_progress_counts_every_clip_and_mixes_may_be_none(
    esc10: ModuleType, fake: Path, tmp_path: Path
):
    seen: list[tuple[int, int]] = []
    built = esc10.build(
        tmp_path / "set", fake, 0, 0, 0, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 60) for done in range(1, 61)]
    assert all(len(heard) == 1 for heard in truth(built).values())


@pytest.mark.parametrize(("onset", "place"), [(30_000, 600), (59_200, 1_200), (0, 0)])
def test_the_loudest_stretch_has_a_lone_event_as_near_its_middle_as_can_be(
    esc10: ModuleType, onset: int, place: int
):
    wave = np.zeros(60_000, dtype=np.float32)
    wave[onset : onset + 800] = 0.5
    stretch = esc10._loudest(wave, 2_000)
    assert stretch.size == 2_000
    # A stretch with 98 % of the event counts as loudest too: 16 samples either way.
    assert np.count_nonzero(stretch) >= 800 - 16
    assert int(np.flatnonzero(stretch)[0]) == pytest.approx(place, abs=16)


def test_a_short_recording_gets_silence_behind_it(esc10: ModuleType):
    stretch = esc10._loudest(np.ones(10, dtype=np.float32), 16)
    assert stretch.tolist() == [1.0] * 10 + [0.0] * 6


def test_a_silent_recording_stays_silent(esc10: ModuleType):
    played = esc10._play([np.zeros(100, dtype=np.float32)], np.random.default_rng(0))
    assert played.shape == (SAMPLES,)
    assert not played.any()


def test_the_grammar_keeps_the_classes_apart(esc10: ModuleType):
    kinds = esc10.KINDS
    assert tuple(kinds) == NAMES
    for name, kind in kinds.items():
        assert kind.name == name
        assert len(kind.phrases) in {2, 3}
        for subject, verb, participle in kind.phrases:
            assert verb != participle
            for told in (f"{subject} {verb}", f"{subject} {participle}"):
                named = [other for other in kinds if describes(told, *[kinds[other]] * 2)[0]]
                assert named == [name], told


# --- what the user can get wrong --------------------------------------------------------------


def test_a_missing_esc10_is_told_and_nothing_is_made(esc10: ModuleType, tmp_path: Path):
    with pytest.raises(CapfixError, match="no ESC-10 folder") as caught:
        esc10.build(tmp_path / "set", tmp_path / "absent", 0)
    assert "--esc10" in caught.value.hint
    assert not (tmp_path / "set").exists()


def test_an_esc10_with_a_class_or_fold_missing_is_told(esc10: ModuleType, tmp_path: Path):
    source = tmp_path / "source"
    for kind, name in enumerate(CLASSES):
        place = source / f"{kind + 1:03d} - {name}"
        place.mkdir(parents=True)
        (place / "1-1-A.ogg").touch()
        if name != "Rooster":
            (place / "5-1-A.ogg").touch()
    with pytest.raises(CapfixError, match=r"no test clips of: rooster\."):
        esc10.build(tmp_path / "set", source, 0)
    assert not (tmp_path / "set").exists()


def test_a_clip_that_is_no_audio_is_named(esc10: ModuleType, tmp_path: Path):
    source = tmp_path / "source"
    for kind, name in enumerate(CLASSES):
        place = source / f"{kind + 1:03d} - {name}"
        place.mkdir(parents=True)
        for fold in (1, 5):
            (place / f"{fold}-1-A.ogg").write_bytes(b"not audio")
    with pytest.raises(CapfixError, match=r"1-1-A\.ogg cannot be read"):
        esc10.build(tmp_path / "set", source, 0)


def test_a_folder_with_something_in_it_is_refused(esc10: ModuleType, fake: Path, tmp_path: Path):
    (tmp_path / "train.csv").write_text("mine", encoding="utf-8")
    before = digests(tmp_path)
    with pytest.raises(CapfixError, match="not empty"):
        esc10.build(tmp_path, fake, 0)
    assert digests(tmp_path) == before


# --- the command line -------------------------------------------------------------------------


def test_main_builds_the_set_alone_for_no_epochs(
    esc10: ModuleType, fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "set"
    sizes = ("--mixes-train", "2", "--mixes-test", "1", "--seed", "4", "--epochs", "0")
    assert esc10.main([str(folder), "--esc10", str(fake), *sizes]) == EXIT_OK
    built = esc10.build(tmp_path / "same", fake, 4, 2, 1).folder
    assert digests(folder) == digests(built)
    assert "Error" not in capsys.readouterr().err


def test_main_says_what_to_run_next(
    esc10: ModuleType,
    fake: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    trained = []
    monkeypatch.setattr(
        esc10, "train_baseline", lambda world, epochs, seed: trained.append((epochs, seed))
    )
    monkeypatch.setenv("ESC10", str(fake))
    folder = tmp_path / "my set"
    sizes = ("--mixes-train", "0", "--mixes-test", "0", "--epochs", "3", "--seed", "8")
    assert esc10.main([str(folder), *sizes]) == EXIT_OK
    assert trained == [(3, 8)]
    # The blank is quoted: the line can be pasted.
    command = f"capfix diagnose '{folder / 'model.pt'}' --audio '{folder / 'test'}'"
    assert command in capsys.readouterr().out


def test_main_tells_a_missing_esc10_in_one_line(
    esc10: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.delenv("ESC10", raising=False)
    monkeypatch.chdir(tmp_path)  # where ../shared is not
    assert esc10.main([str(tmp_path / "set")]) == EXIT_USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: There is no ESC-10 folder at ")
    assert "--esc10" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["--epochs", "--seed", "--mixes-train", "--mixes-test"])
def test_main_refuses_counts_below_0(
    esc10: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
):
    with pytest.raises(SystemExit) as caught:
        esc10.main([str(tmp_path / "set"), option, "-1"])
    assert caught.value.code == EXIT_USAGE
    assert "-1 is below 0" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


# --- the real ESC-10 --------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason="no ESC-10 in ../shared/data/esc10")
def test_the_real_esc10_gives_a_whole_set(esc10: ModuleType, tmp_path: Path):
    built = esc10.build(tmp_path / "set", REAL, 0, 20, 10)
    assert len(truth(built)) == 400 + 30
    check_set(built, esc10.KINDS, singles=(32, 8))


def test_the_baseline_is_trained_and_capfix_reads_it(esc10: ModuleType, fake: Path, tmp_path: Path):
    from capfix_cli.captioners.loading import load

    built = esc10.build(tmp_path / "set", fake, 0, 4, 1)
    facts = load(str(esc10.train_baseline(built, 1, 0))).summary.facts
    assert facts["encoder.pooling"] == "time"
    assert facts["training.epochs"] == 1
    assert facts["training.captions_per_clip"] == 5
