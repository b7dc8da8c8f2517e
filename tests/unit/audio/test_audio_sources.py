"""Audio as people have it: files, lists, patterns, pipes, links, and what needs converting."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from capfix_cli.audio import audio_files, converted_audio
from capfix_cli.audio.audio_batches import Waveform, read_waveform
from capfix_cli.audio.audio_files import read_headers
from capfix_cli.audio.audio_sources import find_files
from capfix_cli.audio.clip_set import open_clips, source_path
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.clip_records import SkippedClip, count_reasons

RATE = 16_000
ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not here")


def tone(seconds=0.5, hz=440.0):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    for name in ("rain/a.wav", "rain/b.wav", "wind/a.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, tone(hz=300 + len(name)), RATE)
    return folder


def names_of(source):
    return [file.name for file in find_files(source).files]


def test_a_single_file(clips):
    assert names_of(clips / "rain" / "b.wav") == ["b.wav"]
    (clip,), skipped = read_headers(clips / "rain" / "b.wav")
    assert clip.seconds == pytest.approx(0.5)
    assert not skipped


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "# my clips\nrain/a.wav\n\nwind/a.wav\nrain/a.wav\n"),
        ("list.csv", 'file_name,caption\nrain/a.wav,"rain, hard"\nwind/a.wav,wind\n'),
        ("list.tsv", "id\twav\n1\train/a.wav\n2\twind/a.wav\n"),
        ("list.jsonl", '{"audio_filepath": "rain/a.wav"}\n{"audio_filepath": "wind/a.wav"}\n'),
        ("list.json", '[{"audio": {"path": "rain/a.wav"}}, {"audio": {"path": "wind/a.wav"}}]'),
        ("wav.scp", "utt1 rain/a.wav\nutt2 wind/a.wav\n"),
    ],
)
def test_lists_of_every_kind_are_relative_to_their_folder(clips, name, text):
    (clips / name).write_text(text)
    assert names_of(clips / name) == ["rain/a.wav", "wind/a.wav"]


def test_a_list_of_whole_paths_tells_what_is_not_there(clips, tmp_path):
    listed = tmp_path / "all.txt"
    listed.write_text(f"{clips}/rain/a.wav\n{clips}/rain/b.wav\n{clips}/gone.wav\n")
    found = open_clips(listed)
    assert found.names == ["a.wav", "b.wav"]
    assert [(clip.path, clip.reason) for clip in found.skipped] == [
        (f"{clips}/gone.wav", "not there, or not a file")
    ]
    assert source_path(found.folder) == str(listed)


def test_patterns(clips, monkeypatch):
    assert names_of(f"{clips}/**/*.wav") == ["rain/a.wav", "rain/b.wav", "wind/a.wav"]
    assert names_of(f"{clips}/rain/*.wav") == ["a.wav", "b.wav"]
    monkeypatch.chdir(clips)
    assert names_of("*/a.wav") == ["rain/a.wav", "wind/a.wav"]


def test_a_pipe(clips, monkeypatch):
    def pipe(text):
        data = SimpleNamespace(buffer=io.BytesIO(text.encode()), isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", data)

    monkeypatch.chdir(clips)
    pipe("rain/a.wav\nrain/b.wav\n")
    found = open_clips("-")
    assert found.names == ["a.wav", "b.wav"]
    assert source_path(found.folder) == "standard input"
    pipe("".join(json.dumps({"path": name}) + "\n" for name in ("rain/a.wav", "wind/a.wav")))
    assert names_of("-") == ["rain/a.wav", "wind/a.wav"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("gone", "is not there"),
        ("*.nothing", "matches no file"),
        ("note.txt", "names no audio"),
        ("none.csv", "no column with paths"),
        ("gone.txt", "None of the 2 files"),
        ("model.pt", "neither audio nor a list"),
        ("empty.txt", "names no audio file"),
    ],
)
def test_what_is_no_audio_is_refused_in_one_line(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("these are only words\nand more of them\n")
    (tmp_path / "none.csv").write_text("file_name,note\nx1,.wav is what they were\nx2,y\n")
    (tmp_path / "gone.txt").write_text("a.wav\nb.wav\n")
    (tmp_path / "model.pt").write_bytes(b"PK")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(CapfixError, match=message) as told:
        find_files(given)
    assert "\n" not in told.value.message


def test_a_folder_of_something_else_says_what_it_holds(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"x")
    with pytest.raises(CapfixError, match=r"It has files of \.npy") as told:
        find_files(tmp_path)
    assert "--features" in told.value.hint


def test_links_that_lead_back_add_no_clip(clips):
    (clips / "loop").symlink_to(clips, target_is_directory=True)
    (clips / "rain" / "up").symlink_to("..", target_is_directory=True)
    (clips / "again").symlink_to(clips / "wind", target_is_directory=True)
    assert names_of(clips) == ["rain/a.wav", "rain/b.wav", "wind/a.wav"]


def test_a_link_to_another_folder_is_followed(clips, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "link").symlink_to(clips, target_is_directory=True)
    assert names_of(other) == ["link/rain/a.wav", "link/rain/b.wav", "link/wind/a.wav"]


@pytest.mark.parametrize(
    ("name", "form"), [("a.opus", "OGG"), ("a.aiff", "AIFF"), ("a.AIF", "AIFF")]
)
def test_opus_and_aiff_are_read(tmp_path, name, form):
    subtype = "OPUS" if form == "OGG" else "PCM_16"
    soundfile.write(tmp_path / name, tone(), RATE, format=form, subtype=subtype)
    (clip,), skipped = read_headers(tmp_path)
    assert not skipped
    heard = read_waveform(clip, RATE)
    assert isinstance(heard, Waveform)
    assert float(heard.samples.abs().max()) == pytest.approx(0.5, abs=0.1)


def encode(folder, name, *options):
    soundfile.write(folder / "source.wav", tone(1.0), RATE)
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(folder / "source.wav"), *options]
    subprocess.run([*command, str(folder / name)], check=True)
    (folder / "source.wav").unlink()


@ffmpeg
@pytest.mark.parametrize("name", ["a.m4a", "a.aac", "-a.mp4", "a b.mkv"])
def test_what_needs_ffmpeg_is_converted(tmp_path, name):
    encode(tmp_path, name, "-c:a", "aac")
    (clip,), skipped = read_headers(tmp_path)
    assert not skipped
    assert clip.sample_rate == RATE
    assert clip.seconds == pytest.approx(1.0, abs=0.2)
    heard = read_waveform(clip, RATE)
    assert isinstance(heard, Waveform)
    spectrum = torch.fft.rfft(heard.samples[2000:14000]).abs()
    assert int(spectrum.argmax()) * RATE / 12000 == pytest.approx(440, abs=3)


@ffmpeg
def test_a_video_is_heard_and_its_ready_sound_is_taken_first(tmp_path):
    picture = ("-f", "lavfi", "-i", "color=c=red:s=32x32:d=1", "-c:a", "aac", "-shortest")
    encode(tmp_path, "a.mp4", *picture)
    assert isinstance(read_waveform(read_headers(tmp_path)[0][0], RATE), Waveform)
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    assert names_of(tmp_path) == ["a.wav"]


@ffmpeg
def test_what_is_no_audio_inside_is_skipped_with_its_reason(tmp_path):
    (tmp_path / "text.m4a").write_text("no sound")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n")
    soundfile.write(tmp_path / "good.wav", tone(), RATE)
    clips, skipped = read_headers(tmp_path)
    assert [clip.name for clip in clips] == ["good.wav"]
    assert {clip.path for clip in skipped} == {"text.m4a", "list.mp4"}
    assert all(clip.reason.startswith("unreadable by ffmpeg") for clip in skipped)


def test_without_ffmpeg_the_command_that_converts_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(converted_audio, "find_ffmpeg", lambda: None)
    monkeypatch.setattr(audio_files, "can_convert", lambda: False)
    real = converted_audio.importlib.util.find_spec
    monkeypatch.setattr(
        converted_audio.importlib.util,
        "find_spec",
        lambda name: None if name == "torchcodec" else real(name),
    )
    (tmp_path / "a.m4a").write_bytes(b"x")
    (tmp_path / "b.m4a").write_bytes(b"x")
    with pytest.raises(CapfixError, match="2 M4A, which needs ffmpeg") as told:
        read_headers(tmp_path)
    assert 'ffmpeg -i "$f"' in told.value.hint
    soundfile.write(tmp_path / "c.wav", tone(), RATE)
    clips, skipped = read_headers(tmp_path)
    assert [clip.name for clip in clips] == ["c.wav"]
    assert "M4A needs ffmpeg" in skipped[0].reason


def test_reasons_are_counted():
    skipped = [SkippedClip(str(i), "silent", "silent") for i in range(3)]
    assert count_reasons(skipped) == "3 skipped: silent"
    skipped += [SkippedClip("x", "empty file", "empty")]
    assert count_reasons(skipped) == "4 skipped: 3 silent, 1 empty file"
    assert count_reasons([]) == ""
