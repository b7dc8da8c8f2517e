"""``diagnose`` told of the training: its captions, its clips, its settings."""

from __future__ import annotations

import csv
import json

import pytest


@pytest.fixture
def single(world, tmp_path):
    """The training captions with one caption for nine clips in ten."""
    rows = list(csv.DictReader(world.train_captions.read_text(encoding="utf-8").splitlines()))
    path = tmp_path / "same.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption_1"])
        for number, row in enumerate(rows):
            text = row["caption_1"] if number % 10 == 0 else "a dog barks"
            writer.writerow([row["file_name"], text])
    return path


def test_training_captions_are_checked_and_listed(capfix, tiny_model, world, single, tmp_path):
    command = ("diagnose", tiny_model, "--audio", world.test_audio)
    done = capfix(*command, "--train-captions", single, "--json")
    assert done.status == 0, done.err
    data = json.loads(done.out)
    answers = {finding["id"]: finding["answer"] for finding in data["training"]["findings"]}
    assert answers["data.imbalanced"] == "suspect"
    assert answers["data.single-caption"] == "suspect"
    # The network was never trained, which is said alone; the plan has what the captions say.
    assert [cause["id"] for cause in data["causes"]] == ["weights.untrained"]
    plan = {row["fix"]: row for row in data["plan"]}
    assert plan["4.1"]["status"] == "needed"
    assert plan["4.3"]["status"] == "not-applicable", "there are no other captions to use"
    rows = tmp_path / ".capfix" / "runs" / data["run"] / "training-rows.csv"
    assert rows.read_text(encoding="utf-8").startswith("check,file_name,caption,reason\n")
    shown = capfix(*command, "--train-captions", single)
    assert "Training captions: 32 for 32 clips" in shown.out
    assert "training-rows.csv" in " ".join(shown.out.split())
    sound = json.loads(capfix(*command, "--train-captions", world.train_captions, "--json").out)
    assert not {c["id"] for c in sound["causes"]} & {"data.imbalanced", "data.single-caption"}
    assert {row["fix"]: row["status"] for row in sound["plan"]}["4.1"] == "not-applicable"


def test_settings_of_training_mark_the_plan(capfix, tiny_model, world, tmp_path):
    settings = tmp_path / "train.yaml"
    settings.write_text("optim: {lr: 0.001}\nloss: {label_smoothing: 0.1}\nmodel: {dropout: 0.0}\n")
    done = capfix(
        *("diagnose", tiny_model, "--audio", world.test_audio),
        *("--training-config", settings, "--json"),
    )
    data = json.loads(done.out)
    plan = {row["fix"]: row for row in data["plan"]}
    assert plan["3.1"]["status"] == "done"
    assert "label_smoothing" in plan["3.1"]["reason"]
    assert data["training_settings"]["5.3"]["status"] == "done"
    assert data["training_settings"]["3.2"]["status"] == "unknown"
    plain = json.loads(capfix("diagnose", tiny_model, "--audio", world.test_audio, "--json").out)
    assert {row["fix"]: row["status"] for row in plain["plan"]}["3.1"] != "done"
    assert plain["training"] is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--train-audio", "."), "--train-captions"),
        (("--train-captions", "none.csv"), "none.csv"),
        (("--training-config", "none.yaml"), "none.yaml"),
    ],
)
def test_what_cannot_be_read_is_told_before_anything_is_kept(
    capfix, tiny_model, world, tmp_path, flags, words
):
    done = capfix("diagnose", tiny_model, "--audio", world.test_audio, *flags)
    assert words in done.complaint
    assert not list((tmp_path / ".capfix").glob("runs/*/diagnosis.json"))
