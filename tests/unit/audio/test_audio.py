"""Folders of audio become batches; what cannot be used is skipped with its reason."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile
import torch
from conftest import real_data

from capfix_cli.audio.audio_batches import iterate_batches, plan_batches, read_waveform
from capfix_cli.audio.audio_files import Clip, read_headers
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.clip_records import SkippedClip

RATE = 16_000


def tone(seconds=0.5, rate=RATE, hz=440.0):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def everything(folder, min_samples=1, **options):
    clips, skipped = read_headers(folder)
    batches = list(iterate_batches(clips, RATE, 4, min_samples, **options))
    skipped += [clip for batch in batches for clip in batch.skipped]
    return batches, {clip.path: clip.reason for clip in skipped}


def test_every_unusable_file_is_listed_with_its_reason(tmp_path):
    soundfile.write(tmp_path / "good.wav", tone(), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "short.wav", tone(0.01), RATE)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    bad = tone()
    bad[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, RATE, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "zero.wav").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not audio, and not counted")
    batches, skipped = everything(tmp_path, min_samples=320)
    assert [name for batch in batches for name in batch.names] == ["short.wav", "good.wav"]
    assert set(skipped) == {f"{n}.wav" for n in ("silent", "none", "nan", "text", "zero")}
    assert skipped["silent.wav"] == "silent"
    assert skipped["nan.wav"].startswith("non-finite")
    assert skipped["text.wav"].startswith("unreadable")
    assert skipped["none.wav"].startswith("empty")
    assert skipped["zero.wav"].startswith("empty")


def test_a_clip_below_the_minimum_gets_zeros_at_its_end(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.01), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", tone(0.02), RATE, subtype="FLOAT")
    ((batch,), skipped) = everything(tmp_path, min_samples=320)
    assert not skipped
    assert [clip.lengthened for clip in batch.clips] == [True, False]
    assert batch.lengths.tolist() == [320, 320]
    assert batch.waveforms[0, :160].numpy() == pytest.approx(tone(0.01), abs=1e-6)
    assert batch.waveforms[0, 160:].abs().max() == 0


def test_subfolders_and_all_four_formats_are_read(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("a.wav", "deep/b.FLAC", "deep/er/c.ogg", "d.mp3"):
        soundfile.write(tmp_path / name, tone(1.0), RATE, format=name[-4:].strip(".").upper())
    batches, skipped = everything(tmp_path)
    assert not skipped
    names = sorted(name for batch in batches for name in batch.names)
    assert names == ["a.wav", "d.mp3", "deep/b.FLAC", "deep/er/c.ogg"]


def test_stereo_at_another_rate_becomes_mono_at_the_captioner_s(tmp_path):
    left = tone(1.0, 44_100)
    soundfile.write(tmp_path / "x.wav", np.stack([left, 0 * left], axis=1), 44_100)
    (clip,), _ = read_headers(tmp_path)
    wave = read_waveform(clip, RATE)
    assert not isinstance(wave, SkippedClip)
    assert wave.samples.shape == (RATE,)
    assert wave.samples.dtype == torch.float32
    expected = torch.from_numpy(tone(1.0) / 2).float()
    torch.testing.assert_close(wave.samples[500:-500], expected[500:-500], atol=2e-3, rtol=0)


def test_batches_are_of_similar_length_and_bounded(tmp_path):
    clips = [
        Clip(f"{i}", tmp_path, seconds, RATE) for i, seconds in enumerate([1, 30, 2, 9, 25, 3])
    ]
    plan = plan_batches(clips, 4)
    lengths = [[clip.seconds for clip in batch] for batch in plan]
    assert lengths == [[1, 2, 3, 9], [25], [30]]
    for batch in lengths:
        assert len(batch) == 1 or len(batch) * max(batch) <= 40


def test_padding_and_lengths(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.5), RATE)
    soundfile.write(tmp_path / "b.wav", tone(0.25), RATE)
    ((batch,), _) = everything(tmp_path)
    assert batch.names == ["b.wav", "a.wav"]
    assert batch.lengths.tolist() == [4_000, 8_000]
    assert batch.waveforms.shape == (2, 8_000)
    assert batch.waveforms[0, 4_000:].abs().max() == 0


def test_folders_that_hold_nothing_are_named(tmp_path):
    for folder, message in ((tmp_path, "no audio files"), (tmp_path / "x", "not there")):
        with pytest.raises(CapfixError, match=message):
            read_headers(folder)


def test_equal_audio_has_equal_digests(tmp_path):
    for name in ("a.wav", "b.flac"):
        steps = (tone() * 32_767).astype(np.int16)  # encoders round floats each in their way
        soundfile.write(tmp_path / name, steps, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "c.wav", tone(hz=441.0), RATE, subtype="PCM_16")
    batches, _ = everything(tmp_path)
    digests = {clip.name: clip.digest for batch in batches for clip in batch.clips}
    assert digests["a.wav"] == digests["b.flac"] != digests["c.wav"]


def test_real_clips_are_all_usable():
    folder = real_data("esc10")
    clips, skipped = read_headers(folder)
    assert len(clips) == 400
    assert not skipped
    for batch in iterate_batches(clips[:40], RATE, 16):
        assert batch.waveforms.shape[1] == pytest.approx(5 * RATE, abs=RATE)


def test_a_name_that_is_no_text_is_read(tmp_path):
    name = os.fsdecode(b"\xff\xfe.wav")
    try:
        soundfile.write(os.fsencode(tmp_path / name), np.full(8000, 0.1), 8000)
    except (OSError, RuntimeError):
        pytest.skip("this file system takes text names only")
    clips, skipped = read_headers(str(tmp_path), lambda done, total: None)
    assert [clip.name for clip in clips] == [name]
    assert not skipped
    assert read_waveform(clips[0], 8000).samples.shape == (8000,)
