"""Whole commands: what they print, write and return; and what bad input gets."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import capfix_cli.runs.run_store
from benchmarks.zoo import toys
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.plain_data import to_dict
from capfix_cli.schemas.record_reading import read_record

DEAF = f"{Path(toys.__file__)}:load_deaf"
HEALTHY = f"{Path(toys.__file__)}:load_healthy"
TOP_LEVEL = (
    *("schema", "capfix_version", "run", "model", "audio", "verdict", "listening", "measures"),
    *("causes", "tree", "trials", "best_decoding", "plan", "recipe"),
)


@pytest.fixture
def clips(tmp_path):
    return toys.write_clips(tmp_path / "clips")


def test_diagnose_prints_verdict_tree_trials_plan_and_what_is_next(capfix, used_model, world):
    done = capfix("diagnose", used_model, "--audio", world.test_audio)
    assert done.status == 0
    for words in ("COLLAPSED", "Decision tree", "Decoding fixes tried", "Causes", "2.1", "Next"):
        assert words in done.out
    assert "Rightness was not judged" in " ".join(done.out.split())
    (run,) = capfix_cli.runs.run_store.all_runs()
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"captions.csv", "diagnosis.json", "plan.json", "recipe.yaml", "command.json"}
    assert run.command()["command"][:2] == ["capfix", "diagnose"]
    assert run.command()["seed"] == 0
    body = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    assert body["schema"] == "capfix.recipe/1"
    assert body["based_on"]["run"] == run.id
    rows = list(csv.DictReader((run.folder / "captions.csv").read_text().splitlines()))
    assert len(rows) == 24
    assert list(rows[0]) == ["file_name", "caption_predicted"]


def test_diagnose_json_is_the_contract_and_comes_back_as_a_record(capfix, used_model, world):
    done = capfix(
        *("diagnose", used_model, "--audio", world.test_audio, "--json"),
        *("--references", world.test_captions, "--fail-on", "collapsed,generic"),
    )
    assert done.status == 3
    data = json.loads(done.out)
    assert set(TOP_LEVEL) <= set(data)
    assert data["schema"] == "capfix.diagnosis/2"
    assert data["listening"]["reference_bits"] is not None
    assert set(data["model"]) == {"path", "format", "sha256", "adapter", "facts"}
    assert set(data["trials"][0]) >= {"decoding", "measures", "listening", "kept", "reason"}
    stored = capfix_cli.runs.run_store.find_run(None).diagnosis()
    assert json.loads(json.dumps(capfix_cli.runs.run_store.jsonable(to_dict(stored)))) == data
    assert read_record(Diagnosis, data).verdict == "collapsed"


def test_the_same_seed_gives_byte_identical_captions(tmp_path, tiny_model, world):
    outputs = []
    for number, seed in enumerate(("5", "5", "6")):
        out = tmp_path / f"{number}.csv"
        subprocess.run(
            [
                *(sys.executable, "-m", "capfix_cli", "generate", str(tiny_model)),
                *("--audio", str(world.test_audio), "--temp", "1.2", "--seed", seed),
                *("--output", str(out), "--quiet"),
            ],
            check=True,
            cwd=tmp_path,
            capture_output=True,
        )
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1] != outputs[2]


def test_generate_and_recommend_use_the_latest_run_and_say_which(capfix, clips):
    assert capfix("diagnose", "toy", "--audio", clips, "--adapter", DEAF, "--quiet").out == (
        "collapsed\n"
    )
    assert capfix("diagnose", "toy", "--audio", clips, "--adapter", HEALTHY, "-q").out == (
        "healthy\n"
    )
    run = capfix_cli.runs.run_store.find_run(None)
    made = capfix("generate")
    assert made.status == 0
    assert run.id in made.err
    assert len(made.out.splitlines()) == toys.CLIPS
    assert made.out.splitlines()[0] == f"00.wav\tword{toys.COMMON}"
    sampled = capfix("generate", "--top-p", "0.9", "--temp", "0.8", "--json")
    assert json.loads(sampled.out)["decoding"] == {
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.9,
    }
    plan = capfix("recommend")
    assert plan.status == 0
    assert run.id in plan.out
    assert "healthy" in plan.out
    first = capfix_cli.runs.run_store.all_runs()[0]
    assert "needed" in capfix("recommend", first.id).out
    assert json.loads(capfix("recommend", first.id, "--json").out)["run"] == first.id


def test_generate_defaults_to_the_winning_trial(capfix, clips, tmp_path):
    (tmp_path / "hidden.py").write_text(
        "from benchmarks.zoo import toys\n"
        "def load(checkpoint, device): return toys.Toy(toys.hidden_by_search)\n"
    )
    capfix("diagnose", "toy", "--audio", clips, "--adapter", "hidden.py:load", "-q")
    best = capfix_cli.runs.run_store.find_run(None).diagnosis().best_decoding
    assert best is not None
    assert json.loads(capfix("generate", "--json").out)["decoding"] == best


def test_recommend_without_a_run_is_the_general_plan(capfix):
    done = capfix("recommend")
    assert done.status == 0
    assert "No run here yet" in done.out
    assert "Temperature sampling" in done.out
    assert len(json.loads(capfix("recommend", "--json").out)["plan"]) == 26


def test_fixes_lists_all_and_shows_one(capfix):
    assert "Bahdanau" in capfix("fixes", "attention").out or "2.3" in capfix("fixes").out
    one = capfix("fixes", "1.3")
    assert one.out.startswith("1.3 Top-p")
    assert "0.9-0.95" in one.out
    assert len(json.loads(capfix("fixes", "--json").out)) == 26
    assert "Did you mean" in capfix("fixes", "temprature").complaint


def test_retrain_runs_the_recipe_and_shows_all_three(capfix, tiny_model, world):
    capfix("diagnose", tiny_model, "--audio", world.test_audio, "-q")
    recipe = capfix_cli.runs.run_store.find_run(None).folder / "recipe.yaml"
    data = ("--captions", world.train_captions, "--audio", world.train_audio)
    done = capfix("retrain", recipe, *data, "--epochs", "1", "--output", "new.pt")
    assert done.status == 0, done.err
    for words in ("before", "control", "after", "listening, bits", "Saved: new.pt"):
        assert words in done.out
    assert Path("new.pt").is_file()
    assert Path("new-control.pt").is_file()
    latest = capfix_cli.runs.run_store.find_run(None).diagnosis()
    assert latest.model.path == "new.pt"
    assert latest.model.facts["conditioning"] == "every-step"
    before = Path("new.pt").read_bytes()
    again = capfix("retrain", recipe, *data, "--epochs", "1", "--output", "new.pt")
    assert "there already" in again.complaint
    assert Path("new.pt").read_bytes() == before
    lone = capfix(
        *("retrain", recipe, *data, "--epochs", "1", "--output", "x.pt"),
        *("--no-control", "--json", "--references", world.test_captions),
    )
    result = json.loads(lone.out)
    assert result["control"] is None
    assert result["after"]["listening"]["reference_bits"] is not None
    assert result["before"]["listening"]["reference_bits"] is not None
    assert "needs --captions CSV" in capfix("retrain", recipe).complaint


def test_demo_tells_the_whole_story(capfix, monkeypatch):
    from conftest import TINY

    from capfix_cli.demo import story as show

    small = show.DemoSize(24, 20, 1, 1, TINY)
    monkeypatch.setattr(show, "DemoSize", lambda: small)
    done = capfix("demo", "story", "--seed", "1")
    assert done.status == 0, done.err
    for words in ("COLLAPSED", "control", "truth", "events named", "story/repaired.pt"):
        assert words in done.out
    assert "not empty" in capfix("demo", "story").complaint


def test_a_checkpoint_of_nan_is_called_broken_and_nothing_is_tried(capfix, tiny_model, world):
    import torch

    data = torch.load(tiny_model, weights_only=True)
    data["state_dict"]["decoder.out.bias"].fill_(float("nan"))
    torch.save(data, "nan.pt")
    done = capfix("diagnose", "nan.pt", "--audio", world.test_audio, "--json")
    assert done.status == 0
    result = json.loads(done.out)
    assert result["listening"] is None
    assert result["trials"] == []
    assert result["causes"][0]["evidence"][0]["value"] == 1
    shown = capfix("diagnose", "nan.pt", "--audio", world.test_audio).out
    assert "listening could not be judged" in shown
    assert "Restore a sound checkpoint" in shown


def test_no_words_at_all_show_the_help(capfix):
    done = capfix()
    assert done.status == 0
    assert "diagnose" in done.out


def bad_inputs(model, world, tmp_path):
    empty, few = tmp_path / "empty", tmp_path / "few"
    empty.mkdir()
    few.mkdir()
    for path in sorted(world.test_audio.iterdir())[:7]:
        (few / path.name).write_bytes(path.read_bytes())
    (tmp_path / "text.pt").write_text("no checkpoint")
    (tmp_path / "refs.csv").write_text("file_name,caption_1\nother.wav,a dog\n")
    audio = ("--audio", world.test_audio)
    return [
        (("diagnose", "missing.pt", *audio), "There is no model"),
        (("diagnose", "text.pt", *audio), "text file"),
        (("diagnose", model), "Missing option '--audio'"),
        (("diagnose", model, "--audio", empty), "no audio files"),
        (("diagnose", model, "--audio", "nowhere"), "is not there"),
        (("diagnose", model, "--audio", few), "at least 20 usable clips and there are 7"),
        (("diagnose", model, *audio, "--device", "tpu9"), "device 'tpu9' cannot be used"),
        (("diagnose", model, *audio, "--seed", "x"), "'--seed'"),
        (("diagnose", model, *audio, "--batch-size", "0"), "'--batch-size'"),
        (("diagnose", model, *audio, "--fail-on", "colapsed"), "Did you mean collapsed?"),
        (("diagnose", model, *audio, "--bogus"), "No such option"),
        (("diagnose", model, *audio, "--references", "refs.csv"), "None of the 24 clips"),
        (("diagnose", model, *audio, "--references", "none.csv"), "no captions file"),
        (
            ("diagnose", model, *audio, "--adapter", "x"),
            "neither FILE.py:FACTORY nor an installed adapter",
        ),
        (("diagnos", model), "No such command"),
        (("generate",), "no run here"),
        (("generate", model, *audio, "--top-p", "2"), "top-p is 2"),
        (("generate", model, *audio, "--output", "no/where.csv"), "cannot be written"),
        (("generate", model, *audio, "--output", "text.pt"), "there already"),
        (("recommend", "nothing"), "no run 'nothing'"),
        (("retrain", "none.yaml"), "There is no recipe"),
        (("fixes", "9.9"), "no fix '9.9'"),
    ]


def test_bad_input_gets_one_line_a_hint_and_status_2(capfix, tiny_model, world, tmp_path):
    cases = bad_inputs(tiny_model, world, tmp_path)
    assert len(cases) == 22
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for words, message in cases:
        complaint = capfix(*words).complaint
        assert message in complaint, words
        assert len(complaint) > len(message) + 8, words  # what is wrong, and how to mend it
    assert {path: path.read_bytes() for path in before} == before
    assert not list(Path(".capfix/runs").glob("*"))  # nothing half-written stays


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(capfix, tiny_model, world, tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert (
            "cannot be stored"
            in capfix("diagnose", tiny_model, "--audio", world.test_audio).complaint
        )
    finally:
        tmp_path.chmod(0o700)


def test_a_store_that_is_a_file_is_refused(capfix, tiny_model, world):
    Path(".capfix").write_text("mine")
    done = capfix("diagnose", tiny_model, "--audio", world.test_audio)
    assert "cannot be stored" in done.complaint
    assert Path(".capfix").read_text() == "mine"


def test_a_run_appears_whole_or_not_at_all(tmp_path):
    def fails_half_way():
        with capfix_cli.runs.run_store.new_run(tmp_path) as run:
            (run.folder / "diagnosis.json").write_text("{}")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_half_way()
    assert capfix_cli.runs.run_store.all_runs(tmp_path) == []
    assert not list((tmp_path / capfix_cli.runs.run_store.STORE).iterdir())
    for _ in range(2):
        with capfix_cli.runs.run_store.new_run(tmp_path) as run:
            (run.folder / "diagnosis.json").write_text("{}")
    assert len(capfix_cli.runs.run_store.all_runs(tmp_path)) == 2
    with pytest.raises(CapfixError, match=r"Input should be 'capfix\.diagnosis/2', not None"):
        capfix_cli.runs.run_store.find_run(None, tmp_path).diagnosis()


def test_a_bug_keeps_its_traceback_and_gives_status_1(tmp_path, tiny_model, world):
    program = (
        "import sys, capfix_cli.api as pipeline\n"
        "from capfix_cli.cli.app import main\n"
        "pipeline.encode_and_caption = lambda *given, **named: 1 / 0\n"
        f"sys.argv = ['capfix', 'diagnose', {str(tiny_model)!r}, '--audio', "
        f"{str(world.test_audio)!r}]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in done.stderr
