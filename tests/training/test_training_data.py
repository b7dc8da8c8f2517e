"""Training data: what is read, cached, left out and altered."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from capfix_cli.captioners.own.own_config import FrontEndConfig
from capfix_cli.core.errors import CapfixError
from capfix_cli.training import caption_data as data_module
from capfix_cli.training import feature_cache as cache_module
from capfix_cli.training.augment import caption_augment as captions
from capfix_cli.training.augment import waveform_augment as audio
from capfix_cli.training.augment.feature_augment import draw_mix, mask, mix
from capfix_cli.training.augment.wordnet import WordNet
from capfix_cli.training.caption_data import load_training_clips
from capfix_cli.training.clip_variants import make_variants
from capfix_cli.training.data_preparation import filter_captions, prepare
from capfix_cli.training.dataset_sources import load_dataset, open_dataset
from capfix_cli.training.feature_cache import CACHE, FeatureCache, Features
from capfix_cli.training.item_order import Item, Part
from capfix_cli.training.training_batches import TrainingBatches
from capfix_cli.training.training_clips import TrainingClips, write_left_out
from capfix_cli.training.training_config import AugmentationOptions, DataOptions

RATE = 16_000
FRONT = FrontEndConfig()
PLAIN = AugmentationOptions()


def tone(hertz: float, seconds: float = 0.6) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def pitch(samples: torch.Tensor) -> float:
    window = samples * torch.hann_window(len(samples))
    return float(torch.fft.rfft(window).abs().argmax()) * RATE / len(samples)


@pytest.fixture
def folder(tmp_path):
    """Six captioned clips, one uncaptioned, one unreadable, one caption without its audio."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(7):
        soundfile.write(clips / f"{number}.wav", tone(300 + 100 * number), RATE)
    (clips / "broken.wav").write_bytes(b"RIFF nothing")
    with (tmp_path / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption_1", "caption_2"])
        writer.writerows([f"{n}.wav", f"tone {n} hums", "a sound"] for n in range(6))
        writer.writerows([["broken.wav", "a crack", ""], ["gone.wav", "a door", ""]])
        writer.writerow(["0.wav", "a second row", ""])  # Clotho lists some files twice
    return tmp_path


def load(folder: Path, **more) -> TrainingClips:
    return load_training_clips(folder / "train.csv", folder / "clips", FRONT, **more)


def test_what_does_not_fit_together_is_counted_and_listed(folder):
    clips = load(folder)
    assert clips.names == [f"{n}.wav" for n in range(6)]
    assert clips.captions[0] == ["tone 0 hums", "a sound", "a second row"]
    assert clips.unmatched == ("6.wav",)
    assert clips.absent == ("gone.wav",)
    assert [clip.path for clip in clips.skipped] == ["broken.wav"]
    write_left_out(folder / "left.csv", clips.left_out())
    rows = list(csv.DictReader((folder / "left.csv").read_text().splitlines()))
    assert {(row["file_name"], row["reason"].split(":")[0]) for row in rows} == {
        ("6.wav", "audio without a caption"),
        ("gone.wav", "caption without its audio"),
        ("broken.wav", "unreadable"),
    }


def test_jsonl_is_read_as_well(folder):
    rows = [{"file_name": f"{n}.wav", "caption_1": f"tone {n}"} for n in range(3)]
    (folder / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    clips = load_training_clips(folder / "train.jsonl", folder / "clips", FRONT)
    assert clips.captions == [["tone 0"], ["tone 1"], ["tone 2"]]


def test_nothing_usable_is_told(folder):
    for path in (folder / "clips").iterdir():
        path.write_bytes(b"RIFF nothing")
    with pytest.raises(CapfixError):
        load(folder)


# --- the cache --------------------------------------------------------------------------------


def test_features_are_computed_once_and_are_the_same(folder, monkeypatch):
    computed = []
    plain = data_module.log_mel
    monkeypatch.setattr(data_module, "log_mel", lambda *given: computed.append(1) or plain(*given))
    first = load(folder, root=folder)
    assert len(computed) == 6
    stored = list((folder / CACHE).glob("*/*.npy"))
    assert len(stored) == 6
    assert first.cached == (stored[0].parent, sum(path.stat().st_size for path in stored))
    again = load(folder, root=folder)
    assert len(computed) == 6
    in_memory = load(folder)
    for one, two, three in zip(first.features, again.features, in_memory.features, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)
        assert one.dtype == torch.float16


def test_the_key_is_the_bytes_and_the_front_end(folder):
    load(folder, root=folder)
    (folder / "clips" / "0.wav").rename(folder / "clips" / "00.wav")  # another name, same bytes
    text = (folder / "train.csv").read_text().replace("\n0.wav", "\n00.wav")
    (folder / "train.csv").write_text(text)
    load(folder, root=folder)
    assert len(list((folder / CACHE).glob("*/*.npy"))) == 6
    soundfile.write(folder / "clips" / "1.wav", tone(999), RATE)
    changed = load(folder, root=folder)
    assert len(list((folder / CACHE).glob("*/*.npy"))) == 7
    assert torch.equal(changed.features[2], load(folder).features[2])
    other = dataclasses.replace(FRONT, n_mels=32)
    wider = load_training_clips(folder / "train.csv", folder / "clips", other, root=folder)
    assert wider.features[0].shape[1] == 32
    assert sum(path.is_dir() for path in (folder / CACHE).iterdir()) == 2


def test_files_are_read_again_only_where_they_changed(folder, monkeypatch):
    read = []
    plain = cache_module.file_digest
    monkeypatch.setattr(cache_module, "file_digest", lambda path: read.append(path) or plain(path))
    first = load(folder, root=folder)
    assert len(read) == 6
    load(folder, root=folder)
    assert len(read) == 6
    soundfile.write(folder / "clips" / "2.wav", tone(777), RATE)  # as long as it was
    changed = load(folder, root=folder)
    assert [path.name for path in read[6:]] == ["2.wav"]
    assert not torch.equal(changed.features[2], first.features[2])
    (folder / CACHE / "digests.json").write_text("{ broken")
    assert torch.equal(load(folder, root=folder).features[2], changed.features[2])
    assert len(read) == 13


def test_a_damaged_or_half_written_file_is_computed_anew(folder):
    whole = load(folder, root=folder)
    stored = sorted((folder / CACHE).glob("*/*.npy"))
    stored[0].write_bytes(stored[0].read_bytes()[:90])
    stored[1].write_bytes(b"")
    (stored[0].parent / ".part-left-by-a-kill").write_bytes(b"half")
    again = load(folder, root=folder)
    for one, two in zip(whole.features, again.features, strict=True):
        assert torch.equal(one, two)


def test_an_interruption_leaves_whole_files_only(folder, monkeypatch):
    calls = []
    plain = np.save

    def dies(file, *given, **more):
        calls.append(1)
        if len(calls) == 4:
            file.write(b"half of it")
            raise KeyboardInterrupt
        plain(file, *given, **more)

    monkeypatch.setattr(cache_module.np, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        load(folder, root=folder)
    assert len(list((folder / CACHE).glob("*/*.npy"))) == 3
    assert not list((folder / CACHE).glob("*/.part-*"))
    assert len(load(folder, root=folder).features) == 6


def test_a_full_disk_is_told(folder, monkeypatch):
    def full(*given, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module.np, "save", full)
    with pytest.raises(CapfixError, match="the disk is full") as caught:
        load(folder, root=folder)
    assert "goes on where it stopped" in caught.value.hint


def test_more_than_memory_takes_is_read_when_asked_for(folder):
    load(folder, root=folder)
    paths = sorted((folder / CACHE).glob("*/*.npy"))
    store = FeatureCache(folder, {})
    lazy = Features(store, paths, most=0)
    held = Features(store, paths)
    assert torch.equal(lazy[2], held[2])
    paths[2].unlink()
    assert held[2] is not None
    with pytest.raises(CapfixError, match="gone or damaged"):
        lazy[2]


# --- aac-datasets -----------------------------------------------------------------------------


class StandIn:
    """Items as aac-datasets gives them."""

    def __init__(self) -> None:
        self.rows = [(f"{n}.wav", torch.tensor(tone(300 + 50 * n))[None], 32_000) for n in range(4)]

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int):
        if index == 4:
            raise RuntimeError("cannot decode")
        if index == 5:
            return {"fname": "5.wav", "audio": torch.zeros(1, 9), "sr": RATE, "captions": ["x"]}
        name, wave, rate = self.rows[index]
        texts = [] if index == 3 else [f"tone {index}", "again"]
        return {"fname": name, "audio": wave.repeat(2, 1), "sr": rate, "captions": texts}


def test_datasets_of_aac_datasets_are_taken(tmp_path):
    clips = load_dataset(StandIn(), FRONT, tmp_path)
    assert clips.names == ["0.wav", "1.wav", "2.wav"]
    assert clips.captions[1] == ["tone 1", "again"]
    assert clips.features[0].shape == (round(0.3 * RATE) // FRONT.hop_length + 1, 64)
    assert clips.unmatched == ("3.wav",)
    assert {clip.reason.split(":")[0] for clip in clips.skipped} == {"unreadable", "silent"}
    with pytest.raises(CapfixError, match="not a data set"):
        open_dataset("Cloto", ".", "dev")
    with pytest.raises(CapfixError, match="aac-datasets"):
        open_dataset("Clotho", str(tmp_path), "dev")


def test_a_dataset_is_opened_where_it_is_and_never_downloaded(tmp_path, monkeypatch):
    asked = []

    class Clotho(StandIn):
        def __init__(self, root=".", subset="dev", download=False, verbose=0) -> None:
            super().__init__()
            asked.append((root, subset, download, verbose))
            if subset == "gone":
                raise RuntimeError("Cannot load data: clotho_gone is not prepared")

    class WavCaps(Clotho):
        sample_rate = 32_000

        def __getitem__(self, index: int):
            item = super().__getitem__(index)
            item.pop("sr")
            return item

    package = types.SimpleNamespace(Clotho=Clotho, WavCaps=WavCaps)
    monkeypatch.setitem(sys.modules, "aac_datasets", package)
    clips = load_dataset(open_dataset("Clotho", "/data"), FRONT, tmp_path)
    assert asked == [("/data", "dev", False, 0)]
    without = load_dataset(open_dataset("WavCaps", "/data", "sb"), FRONT, tmp_path)
    assert torch.equal(without.features[1], clips.features[1])
    with pytest.raises(CapfixError, match="cannot be opened in /data") as caught:
        open_dataset("Clotho", "/data", "gone")
    assert "aac-datasets-download --root /data clotho" in caught.value.hint


# --- 4.2, 4.3 and held-out clips --------------------------------------------------------------


def test_generic_captions_are_left_out_and_listed(folder):
    clips = filter_captions(load(folder), 1)
    assert all("a sound" not in texts for texts in clips.captions)
    assert len(clips.rejected) == 6
    assert clips.rejected[0].caption == "a sound"
    first, _ = prepare(load(folder), DataOptions(captions_per_clip=1), PLAIN, 0)
    assert first.captions == [[f"tone {n} hums"] for n in range(6)]
    only = dataclasses.replace(load(folder), captions=[["a sound"]] * 5 + [["a dog"]])
    left = filter_captions(only, 1)
    assert left.names == ["5.wav"]
    assert torch.equal(left.features[0], only.features[5])
    with pytest.raises(CapfixError, match="leaves nothing"):
        filter_captions(only, 9)


def test_held_out_clips_are_others_and_the_same_in_every_run():
    names = [f"{n}.wav" for n in range(60)]
    clips = TrainingClips([torch.zeros(1, 1)] * 60, [["a dog"]] * 60, names=names)
    kept, held = prepare(clips, DataOptions(validation_share=0.25), PLAIN, 0)
    assert (len(kept.names), len(held.names)) == (45, 15)
    assert not set(kept.names) & set(held.names)
    more = dataclasses.replace(clips, names=names[::-1])
    assert set(prepare(more, DataOptions(validation_share=0.25), PLAIN, 0)[1].names) == set(
        held.names
    )


# --- 3.4 audio --------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [0.8, 0.93, 1.2])
def test_stretching_changes_the_length_and_not_the_pitch(speed):
    wave = torch.tensor(tone(440, 1.0), dtype=torch.float32)
    out = audio.stretch(wave, speed)
    assert len(out) == round(len(wave) / speed)
    assert pitch(out) == pytest.approx(440, abs=3)
    level = float(out.square().mean() / wave.square().mean())
    assert level == pytest.approx(1, abs=0.25)


def test_stretching_keeps_events_in_their_places():
    wave = torch.zeros(RATE)
    wave[round(0.25 * RATE)] = 1.0
    out = audio.stretch(wave, 0.8)
    assert int(out.abs().argmax()) / RATE == pytest.approx(0.25 / 0.8, abs=0.02)


@pytest.mark.parametrize("semitones", [-2.0, -0.7, 2.0])
def test_shifting_changes_the_pitch_and_not_the_length(semitones):
    wave = torch.tensor(tone(440, 1.0), dtype=torch.float32)
    out = audio.shift_pitch(wave, RATE, semitones)
    assert len(out) == len(wave)
    assert pitch(out) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_noise_is_added_at_the_ratio_asked_for(snr):
    wave = torch.tensor(tone(440), dtype=torch.float32)
    noise = audio.pink_noise(len(wave), RATE, np.random.default_rng(0))
    out = audio.add_noise(wave, noise, snr)
    measured = 10 * math.log10(float(wave.square().sum() / (out - wave).square().sum()))
    assert measured == pytest.approx(snr, abs=0.05)


def test_pink_noise_has_equal_power_in_every_octave():
    noise = audio.pink_noise(RATE * 8, RATE, np.random.default_rng(0))
    power = torch.fft.rfft(noise).abs().square()
    octaves = [float(power[a * 8 : 2 * a * 8].sum()) for a in (100, 200, 400, 800, 1600, 3200)]
    assert max(octaves) / min(octaves) < 1.2


def test_copies_are_within_their_limits_and_the_same_each_time(folder):
    options = AugmentationOptions(
        variants=2, time_stretch=0.2, pitch_semitones=2.0, noise_share=0.5, noise_snr=10
    )
    drawn = [audio.draw_alteration(options, 0, f"{n}.wav", 1) for n in range(300)]
    speeds, shifts = [d.speed for d in drawn], [d.semitones for d in drawn]
    assert 0.8 <= min(speeds) < 0.83
    assert 1.17 < max(speeds) <= 1.2
    assert -2 <= min(shifts) < -1.8
    assert 1.8 < max(shifts) <= 2
    assert sum(d.noise for d in drawn) == pytest.approx(150, abs=30)
    assert drawn[0] == audio.draw_alteration(options, 0, "0.wav", 1)
    variants = make_variants(options, 0, RATE)
    clips = load(folder, root=folder, variants=variants)
    assert len(clips.altered) == 2
    lengths = [len(copy[n]) for copy in clips.altered for n in range(6)]
    assert len(set(lengths)) > 3
    assert all(0.8 <= length / 31 <= 1.26 for length in lengths)
    again = load(folder, root=folder, variants=make_variants(options, 0, RATE))
    assert torch.equal(again.altered[1][3], clips.altered[1][3])
    assert len(list((folder / CACHE).glob("*/*.npy"))) == 18
    louder = dataclasses.replace(options, noise_snr=0)
    load(folder, root=folder, variants=make_variants(louder, 0, RATE))
    assert len(list((folder / CACHE).glob("*/*.npy"))) == 30


def test_noise_comes_from_the_user_s_folder(folder, tmp_path):
    options = AugmentationOptions(variants=1, noise_share=1.0, noise_snr=0.0)
    named = dataclasses.replace(options, noise_folder=str(folder / "clips"))
    variants = make_variants(named, 0, RATE)
    assert len(variants.recordings) == 7
    wave = torch.tensor(tone(3000, 1.5), dtype=torch.float32)
    noise = variants.alter("x.wav", wave, RATE, 1) - wave
    assert 250 < pitch(noise) < 1000  # a tone of the folder, repeated to the clip's length
    (tmp_path / "empty").mkdir()
    with pytest.raises(CapfixError):
        make_variants(dataclasses.replace(named, noise_folder=str(tmp_path / "empty")), 0, RATE)


# --- 3.4 features -----------------------------------------------------------------------------


def test_masks_are_one_band_and_one_stretch_of_the_mean():
    widths = []
    for seed in range(200):
        frames = torch.randn(100, 64)
        out = mask(frames, 8, 0.1, np.random.default_rng(seed))
        changed = out != frames
        bands, times = changed.all(dim=0), changed.all(dim=1)
        assert torch.equal(changed, bands[None] | times[:, None])
        for line in (bands, times):
            starts = int((line[1:] & ~line[:-1]).sum()) + int(line[0])
            assert starts <= 1
        assert torch.allclose(out[changed], frames.mean())
        widths.append((int(bands.sum()), int(times.sum())))
    assert max(width for width, _ in widths) == 8
    assert max(width for _, width in widths) == 10
    assert min(width for width, _ in widths) == 0


def test_mixing_adds_powers_and_leaves_the_louder_share():
    loud, quiet = torch.full((4, 3), 2.0), torch.full((6, 3), -5.0)
    out = mix(loud, quiet, 0.7)
    expected = math.log(0.7 * math.exp(2) + 0.3 * math.exp(-5))
    assert out.shape == (6, 3)
    assert float(out[0, 0]) == pytest.approx(expected, abs=1e-5)
    assert float(out[5, 0]) == pytest.approx(-5, abs=1e-5)  # never below what either had
    assert mix(loud, quiet, 1.0) is loud
    wave = mix(torch.ones(3), torch.ones(5), 0.75)
    assert wave.tolist() == [1, 1, 1, 0.25, 0.25]
    partners, shares = draw_mix(500, 0.4, np.random.default_rng(0))
    assert sorted(partners) == list(range(500))
    assert float(shares.min()) >= 0.5
    assert float(shares.max()) <= 1


def test_batches_alter_by_epoch_and_clip_alone():
    features = [torch.randn(n + 5, 64) for n in range(6)]
    altered = ([torch.full((4, 64), 9.0)] * 6,)
    clips = TrainingClips(features, [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]], altered=altered)
    items = Part([Item(clip, 0, 1) for clip in (3, 1, 5)])
    plain = TrainingBatches(TrainingClips(features, clips.captions), PLAIN, 0)[items]
    assert plain["captions"] == ["d", "b", "f"]
    assert plain["lengths"].tolist() == [8, 6, 10]
    assert torch.equal(plain["signals"][1, :6], features[1])
    assert plain["signals"][1, 6:].abs().sum() == 0
    copies = TrainingBatches(clips, PLAIN, 0)
    lengths = [copies[Part([Item(0, 0, epoch)])]["lengths"].item() for epoch in range(40)]
    assert set(lengths) == {4, 5}
    masked = TrainingBatches(clips, AugmentationOptions(mask_bands=30, mask_frames=0.5), 0)
    one, beside = (masked[Part(own)] for own in ([Item(2, 0, 1)], [Item(4, 0, 1), Item(2, 0, 1)]))
    length = int(one["lengths"][0])
    assert torch.equal(one["signals"][0], beside["signals"][1, :length])
    other = masked[Part([Item(2, 0, 2)])]["signals"]
    assert other.shape != one["signals"].shape or not torch.equal(other, one["signals"])
    mixed = TrainingBatches(clips, AugmentationOptions(mixup=0.4), 0)[items]
    assert sorted(mixed["other"]) == ["b", "d", "f"]
    assert mixed["share"].shape == (3,)
    half = TrainingBatches(clips, AugmentationOptions(mixup=0.4), 0)[Part(items.items, 1, 2)]
    assert half["captions"] == ["b"]
    assert half["other"] == mixed["other"][1:2]
    assert torch.equal(half["signals"][0], mixed["signals"][1])  # padded as the whole batch is


# --- 3.4 captions -----------------------------------------------------------------------------


@pytest.fixture
def wordnet(tmp_path):
    """A few synsets in WordNet's own format (wndb(5WN)), offsets and all."""
    synsets = {
        "noun": [
            (("crowd", "throng"), ("crowd", "throng")),
            (("dog", "frump"), ("dog", "frump")),
            (("street",), ("street", "big_street")),
        ],
        "verb": [(("crowd", "herd"), ("herd", "crowd")), (("start", "begin"), ("start", "begin"))],
        "adj": [(("loud", "noisy"), ("loud(a)", "noisy"))],
        "adv": [(("quickly", "rapidly"), ("quickly", "rapidly", "Speedily"))],
    }
    for part, rows in synsets.items():
        data, index = "  1 This software is licensed.\n", ["  1 This software is licensed."]
        for lemmas, words in rows:
            offset = len(data)
            listed = " ".join(f"{word} 0" for word in words)
            data += (
                f"{offset:08d} 14 {part[0]} {len(words):02x} {listed} 001 @ 00001740 n 0000 | a\n"
            )
            index += [f"{lemma} {part[0]} 1 1 @ 1 0 {offset:08d}  " for lemma in lemmas]
        (tmp_path / f"data.{part}").write_text(data)
        (tmp_path / f"index.{part}").write_text("\n".join(index) + "\n")
    return WordNet(tmp_path)


def test_wordnet_files_are_read_as_they_are(wordnet):
    assert wordnet.parts("crowd") == ["noun", "verb"]
    assert wordnet.synonyms("crowd", "noun") == ["throng"]
    assert wordnet.synonyms("crowd", "verb") == ["herd"]
    assert wordnet.synonyms("loud", "adj") == ["noisy"]
    assert wordnet.synonyms("street", "noun") == []  # no compounds
    assert wordnet.synonyms("quickly", "adv") == ["rapidly"]  # no names
    assert wordnet.parts("absent") == []


def test_a_folder_without_wordnet_is_told(tmp_path):
    with pytest.raises(CapfixError, match=r"has no index\.noun") as caught:
        WordNet(tmp_path)
    assert "wordnet-base" in caught.value.hint


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A crowd moves quickly", "a throng moves rapidly"),  # a noun after an article
        ("they crowd the street", "they crowd the street"),  # a verb or a noun: not certain
        ("a dog barks", "a dog barks"),  # a sound is never renamed
        ("a loud street", "a noisy street"),
        ("engines start", "engines begin"),
        ("the sound", "the sound"),
    ],
)
def test_synonyms_are_guarded_by_part_of_speech_and_by_sounds(wordnet, caption, expected):
    generator = np.random.default_rng(0)
    assert captions.replace_synonyms(caption, 1.0, wordnet, generator) == expected
    assert captions.replace_synonyms(caption, 0.0, wordnet, generator) == caption.lower()


def test_articles_follow_the_new_word_and_shares_are_kept(wordnet):
    class Other:
        def parts(self, word):
            return ["adj"] if word == "big" else []

        def synonyms(self, word, part):
            return ["enormous"]

    generator = np.random.default_rng(0)
    assert captions.replace_synonyms("a big hall", 1.0, Other(), generator) == "an enormous hall"
    only = captions.replace_synonyms("a big hall", 1.0, Other(), generator, frozenset({"large"}))
    assert only == "a big hall"
    told = captions.add_synonyms([["a crowd moves"]] * 400, 0.3, wordnet, 0)
    assert sum(len(texts) == 2 for texts in told) == pytest.approx(120, abs=30)
    assert all(texts[0] == "a crowd moves" for texts in told)


def test_the_recipe_adds_synonyms_to_training_captions(wordnet, folder):
    options = AugmentationOptions(synonyms=1.0, wordnet=str(wordnet.folder))
    clips = dataclasses.replace(load(folder), captions=[["a loud crowd"]] * 6)
    kept, _ = prepare(clips, DataOptions(), options, 0)
    assert kept.captions == [["a loud crowd", "a noisy crowd"]] * 6


def test_paraphrases_must_keep_every_sound():
    def write(texts, number):
        return [["a dog is barking aloud", "a dog barks away", "an animal is loud"]] * len(texts)

    told = captions.add_paraphrases(
        [["a dog barks"], ["a dog barks", "a dog barks away"]], 3, write
    )
    assert told == [["a dog barks", "a dog barks away"], ["a dog barks", "a dog barks away"]]
    assert captions.keeps_sounds("rain falls", "rain is falling")
    assert not captions.keeps_sounds("rain falls", "it falls")
    with pytest.raises(CapfixError, match="paraphrasing model"):
        captions.local_paraphraser("/nowhere")


def test_a_local_model_writes_paraphrases(tmp_path):
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<pad>", "</s>", "<unk>", "a", "dog", "barks", "rain", "falls"]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(words), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2
    )
    config.decoder_start_token_id = 0
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    write = captions.local_paraphraser(str(tmp_path), batch=2)
    told = write(["a dog barks", "rain falls", "a dog"], 2)
    assert [len(texts) for texts in told] == [2, 2, 2]
    assert told == captions.local_paraphraser(str(tmp_path), batch=3)(
        ["a dog barks", "rain falls", "a dog"], 2
    )
