"""Files of captions in any layout through the commands, each folder looked through once."""

from __future__ import annotations

import csv
import json
from collections import Counter

import pytest

from capfix_cli.audio import audio_files
from capfix_cli.core.errors import CapfixError


@pytest.fixture
def headers(monkeypatch):
    """Count how often each file's header is read."""
    read = Counter()
    once = audio_files._header

    def counted(file):
        read[file.path] += 1
        return once(file)

    monkeypatch.setattr(audio_files, "_header", counted)
    return read


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("quiet", [False, True])
def test_a_diagnosis_with_references_in_json_and_training_captions_in_tabs(
    capfix, tiny_model, world, tmp_path, headers, quiet
):
    rows = rows_of(world.test_captions)[:21]
    stems = [
        {"sound_id": row["file_name"].removesuffix(".wav"), "captions": [row["caption_1"]]}
        for row in reversed(rows)
    ]
    (tmp_path / "refs.json").write_text(json.dumps(stems, indent=1))
    trained = rows_of(world.train_captions)
    with (tmp_path / "train.tsv").open("w", encoding="utf-16", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["fname", "caption"])
        writer.writerows([row["file_name"], row[f"caption_{n}"]] for row in trained for n in (1, 2))
    done = capfix(
        *("diagnose", tiny_model, "--audio", world.test_audio, "--references", "refs.json"),
        *("--train-captions", "train.tsv", "--train-audio", world.train_audio),
        *(["--quiet"] if quiet else ["--json"]),
    )
    assert done.status == 0, done.err
    told = "References for 21 of 24 clips in refs.json"
    assert done.err.count(told) == (not quiet)
    assert len(headers) == 24 + 32
    assert set(headers.values()) == {1}
    if not quiet:
        diagnosis = json.loads(done.out)
        assert diagnosis["listening"]["reference_bits"] is not None
        assert diagnosis["training"]["clips"] == 32
        assert diagnosis["training"]["captions"] == 64
        assert any(note.startswith(told) for note in diagnosis["notes"])


@pytest.mark.parametrize("command", ["diagnose", "retrain"])
def test_references_of_other_clips_stop_before_any_work(
    capfix, tiny_model, world, tmp_path, monkeypatch, command
):
    def never(*given, **named):
        raise AssertionError("captioned")

    monkeypatch.setattr("capfix_cli.api.encode_and_caption", never)
    monkeypatch.setattr("capfix_cli.training.training_run.train", never)
    (tmp_path / "refs.tsv").write_text("file_name\tcaption\nother.wav\ta dog\n")
    if command == "diagnose":
        words = ("diagnose", tiny_model, "--audio", world.test_audio)
    else:
        words = (
            *("retrain", "priority-2", "--test-audio", world.test_audio),
            *("--captions", world.train_captions, "--audio", world.train_audio),
        )
    complaint = capfix(*words, "--references", "refs.tsv").complaint
    assert "None of the 24 clips has a reference in refs.tsv: it names other.wav" in complaint
    assert not list(tmp_path.glob(".capfix/runs/*"))


def test_training_captions_of_other_clips_stop_before_the_diagnosis(
    capfix, tiny_model, world, tmp_path, monkeypatch
):
    monkeypatch.setattr("capfix_cli.api.encode_and_caption", None)
    (tmp_path / "train.csv").write_text("file_name,caption\nother.wav,a dog\n")
    done = capfix(
        *("retrain", "priority-2", "--model", tiny_model, "--test-audio", world.test_audio),
        *("--captions", "train.csv", "--audio", world.train_audio),
    )
    assert "None of the 32 clips has a reference in train.csv" in done.complaint


def test_captions_of_a_few_clips_are_told_before_the_training(capfix, world, tmp_path, monkeypatch):
    def begin(*given, **named):
        raise CapfixError("The training began.", "That is all.")

    monkeypatch.setattr("capfix_cli.training.training_run.train", begin)
    rows = rows_of(world.train_captions)[:20]
    lines = [json.dumps({"id": row["file_name"], "caption": row["caption_1"]}) for row in rows]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    done = capfix(
        *("retrain", "priority-2", "--test-audio", world.test_audio, "--no-control"),
        *("--captions", "train.jsonl", "--audio", world.train_audio),
    )
    assert "The training began" in done.complaint
    assert "Note: Captions for 20 of 32 clips in train.jsonl: the others are not" in done.err
