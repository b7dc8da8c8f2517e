"""A folder's clips, found once: what is in the set, its samples, and that nobody looks again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundfile

from capfix_cli.audio import audio_files
from capfix_cli.audio.clip_set import NO_CLIPS, ClipSet, open_clips
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding.encode_pass import draw_sample

RATE = 8_000


@pytest.fixture
def folder(tmp_path):
    noise = np.random.default_rng(0).normal(size=RATE // 4) / 10
    for number in range(12):
        soundfile.write(tmp_path / f"{number:02}.wav", noise[: RATE // 8 + 50 * number], RATE)
    (tmp_path / "zero.wav").write_bytes(b"")
    return tmp_path


@pytest.fixture
def headers(monkeypatch):
    """List the files whose headers are read."""
    read = []
    once = audio_files._header

    def counted(file):
        read.append(file.name)
        return once(file)

    monkeypatch.setattr(audio_files, "_header", counted)
    return read


def test_what_a_set_holds(folder):
    told = []
    clips = open_clips(folder, lambda *progress: told.append(progress))
    assert clips.folder == str(folder)
    assert clips.names == [f"{number:02}.wav" for number in range(12)]
    assert len(clips) == 12
    assert {clip.sample_rate for clip in clips.clips} == {RATE}
    assert clips.clips[0].seconds == pytest.approx(0.125)
    assert [(clip.path, clip.kind) for clip in clips.skipped] == [("zero.wav", "empty")]
    assert told[-1] == ("reading audio headers", 13, 13)
    with pytest.raises(dataclasses.FrozenInstanceError):
        clips.folder = "other"


def test_an_open_set_is_not_read_again(folder, headers):
    clips = open_clips(folder)
    assert len(headers) == 13
    assert open_clips(clips) is clips
    assert draw_sample(clips, RATE, 5, 0) is not None
    assert len(headers) == 13


def test_a_sample_depends_on_names_and_seed_alone(folder):
    clips = open_clips(folder)
    sample, rest = clips.split(5, 3)
    assert sorted([*sample, *rest], key=lambda clip: clip.name) == list(clips.clips)
    assert clips.split(5, 4)[0] != sample
    backwards = dataclasses.replace(clips, clips=clips.clips[::-1])
    assert backwards.split(5, 3) == (sample, rest)
    fewer = ClipSet(clips.folder, tuple(clip for clip in clips.clips if clip != rest[-1]))
    assert fewer.split(5, 3)[0] == sample
    assert clips.split(99, 3)[1] == []
    assert NO_CLIPS.split(5, 0) == ([], [])


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(CapfixError, match="is not there"):
        open_clips(tmp_path / "none")
