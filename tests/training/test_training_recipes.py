"""Recipes as files: all that ship run, old ones stay readable, promises are checked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml
from conftest import TINY
from test_recipes import diagnosis

from capfix_cli.captioners.loading import load
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.thresholds import LISTENING_SHARE
from capfix_cli.fixes.setting_status import training_settings
from capfix_cli.schemas.diagnosis_record import PlanRow
from capfix_cli.training import training_run as run_module
from capfix_cli.training.expectation import hold_to_promises
from capfix_cli.training.recipe import Recipe, make_recipe, write_recipe
from capfix_cli.training.recipe_reading import check_recipe, read_recipe
from capfix_cli.training.shipped import locate, shipped
from capfix_cli.training.switches import SWITCHES, turn_on, without_fixes
from capfix_cli.training.training_config import TrainingConfig, TrainingOptions
from capfix_cli.training.training_run import TrainingJob, train_own

NAMES = ("listening", "priority-2", "priority-3", "priority-4", "skewed-data")

# As capfix 0.1 wrote it.
OLD = """
schema: capfix.recipe/1
based_on: {run: 20260101-000000, model: /m.pt, sha256: abc, verdict: collapsed, audio: /clips}
fixes:
- {id: '2.1', reason: keep time}
- {id: '2.2', reason: every step}
- {id: '3.1', reason: smoothing}
model:
  front_end: {sample_rate: 16000, n_fft: 640, hop_length: 320, n_mels: 64}
  encoder: {pooling: frequency, depth: 3, residual: false, channels: 16, width: 128, segments: 4,
    pretrained: none, dropout: 0.2}
  conditioning: every-step
  decoder: gru
  embedding: 128
  hidden: 192
  dropout: 0.3
  max_length: 30
data: {captions: null, audio: null}
training: {epochs: 20, batch_size: 32, learning_rate: 0.001, weight_decay: 0.0001,
  gradient_clip: 5.0, label_smoothing: 0.1, seed: 0}
expect:
  listening: at least 3 times the bits, on clips it never saw
  verdict: healthy or generic
  distinct_captions: more than now
control:
  model: {conditioning: initial-state}
  label_smoothing: 0.0
"""


def test_recipes_of_before_are_read_and_their_promises_can_be_checked(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    recipe = read_recipe(path).recipe
    assert recipe.trains == "capfix"
    assert recipe.training == TrainingOptions(label_smoothing=0.1)
    assert recipe.control.training.label_smoothing == 0.0
    assert recipe.control.model.conditioning == "initial-state"
    assert recipe.expect["listening"]["operator"] == ">="
    before, after = diagnosis(0.4, "collapsed"), diagnosis(1.3, "healthy")
    rows = {row.measure: row for row in hold_to_promises(recipe.expect, before, after)}
    assert rows["listening"].met is True
    assert rows["listening"].wanted == pytest.approx(1.2)
    nothing = hold_to_promises(
        recipe.expect, diagnosis(0.0, "collapsed"), diagnosis(0.7, "generic")
    )
    assert nothing[0].wanted == pytest.approx(LISTENING_SHARE.value * 4.39, abs=0.01)
    assert nothing[0].met is False, "three times nothing is no promise"
    assert rows["verdict"].met is True
    assert rows["distinct_captions"].met is False  # .5 before and .5 after
    without = {row.measure: row.met for row in hold_to_promises(recipe.expect, None, after)}
    assert without == {"listening": None, "verdict": True, "distinct_captions": None}


@pytest.mark.parametrize(
    ("operator", "value", "met"),
    [(">=", 0.7, True), (">", 0.7, False), ("<", 0.7, False), ("<=", 0.7, True), (">", 0.2, True)],
)
def test_every_operator_of_a_promise(operator, value, met):
    expect = {"listening": {"operator": operator, "value": value}}
    (row,) = hold_to_promises(expect, None, diagnosis(0.7, "healthy"))
    assert row.met is met
    (words,) = hold_to_promises({"fluency": "as now"}, None, diagnosis(0.7, "healthy"))
    assert (words.met, words.note) == (None, "written in words only")


def full_recipe() -> Recipe:
    fixes = [fix for fix in SWITCHES if fix not in {"2.5", "2.6"}]
    base = TrainingConfig(TINY, TrainingOptions(weight_decay=0.0)).change(
        "data", captions_per_clip=1
    )
    setup = turn_on(base, *fixes)
    return Recipe({}, dict.fromkeys(fixes, "why"), setup, {}, base, rewrites={"2.1": "x = 1\n"})


def test_every_switch_survives_the_file(tmp_path):
    recipe = full_recipe()
    write_recipe(recipe, tmp_path / "r.yaml")
    assert read_recipe(tmp_path / "r.yaml").recipe == recipe


def test_a_fix_that_is_listed_and_not_set_is_an_error(tmp_path):
    recipe = full_recipe()
    for fix in ("3.2", "3.4", "3.6", "4.1", "4.2", "4.3"):
        lame = dataclasses.replace(recipe, setup=recipe.control, fixes={fix: "why"})
        write_recipe(lame, tmp_path / "r.yaml")
        with pytest.raises(CapfixError, match=f"fixes: {fix} is listed, and"):
            read_recipe(tmp_path / "r.yaml")


def test_all_errors_of_all_sections_come_at_once(capfix):
    write_recipe(full_recipe(), Path("r.yaml"))
    body = yaml.safe_load(Path("r.yaml").read_text())
    body["training"] |= {"scheduled_samplin": 0.4, "curriculum": "hard", "precision": 32}
    body["data"] |= {"balance": 2, "captions": 7}
    body["augmentation"] |= {"mask_bands": 0.5, "wordnet": 3, "mixup": True}
    body["expect"] = {"speed": {"operator": "~", "value": "much"}, "verdict": {"value": 1}}
    body["control"]["speed"] = 1
    body["trains"] = "theirs"
    Path("r.yaml").write_text(yaml.safe_dump(body))
    told = capfix("recipe", "validate", "r.yaml").complaint
    for words in (
        "training.scheduled_samplin: not a field (did you mean scheduled_sampling?)",
        "training.curriculum: Input should be 'none', 'thirds' or 'competence', not 'hard'",
        "training.precision: Input should be '32-true', 'bf16-mixed' or '16-mixed', not 32",
        "data.balance: Input should be less than or equal to 1, not 2",
        "data.captions: Input should be a valid string, not 7",
        "augmentation.mask_bands: Input should be a valid integer, not 0.5",
        "augmentation.wordnet: Input should be a valid string, not 3",
        "augmentation.mixup: Input should be a valid number, not True",
        "expect.speed is not a measure",
        "expect.speed.operator is '~'",
        "expect.speed.value is 'much'",
        "expect.verdict needs an operator",
        "control.speed: not a field",
        "trains: Input should be 'capfix' or 'yours', not 'theirs'",
        "14 error(s)",
    ):
        assert words in told, words


def test_an_alpha_too_large_is_warned_of(capfix):
    recipe = full_recipe()
    write_recipe(
        dataclasses.replace(recipe, setup=recipe.setup.change("training", diversity_alpha=4.0)),
        Path("r.yaml"),
    )
    done = capfix("recipe", "validate", "r.yaml")
    assert done.status == 0
    assert "diversity_alpha is 4" in done.err
    assert "sound recipe" in done.out


def test_what_ships_is_listed_and_found_by_name(capfix):
    done = capfix("recipe", "list")
    assert done.status == 0
    assert all(name in done.out for name in NAMES)
    rows = json.loads(capfix("recipe", "list", "--json").out)
    assert tuple(row["name"] for row in rows) == NAMES
    assert all(Path(row["path"]).is_file() for row in rows)
    assert capfix("recipe", "validate", "priority-2").status == 0
    assert "no recipe nothing" in capfix("recipe", "validate", "nothing").complaint
    Path("priority-2").write_text("a file of mine")
    assert locate("priority-2") == "priority-2"


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_that_ships_runs(name, world, tmp_path):
    recipe = read_recipe(locate(name)).recipe.with_epochs(1)
    assert [row.name for row in shipped()] == list(NAMES)
    steps = []
    job = TrainingJob(
        *(str(world.train_captions), str(world.train_audio), tmp_path, tmp_path / "state", "cpu"),
        lambda stage, done, total: steps.append(stage),
    )
    for given, file in ((recipe.setup, "new.pt"), (recipe.control, "control.pt")):
        setup = given.change("training", batch_size=12, early_stopping=0)
        outcome = train_own(setup, job, tmp_path / file, file)
        assert outcome.trained.best_epoch == 1
    assert sum(stage.startswith("training the") for stage in steps) == 4
    loaded = load(str(tmp_path / "new.pt"))
    weights = loaded.captioner.module.state_dict()
    assert all(tensor.isfinite().all() for tensor in weights.values())
    facts = loaded.summary.facts
    assert facts["training.captions_per_clip"] == 5
    assert bool(facts["training.augmentation"]) is ("3.4" in recipe.fixes)
    assert load(str(tmp_path / "control.pt")).captioner.config == recipe.control.model


def test_the_examples_are_what_ships():
    folder = Path(__file__).parents[2] / "examples" / "recipes"
    found = {path.name: path.read_text() for path in folder.glob("*.yaml")}
    assert found == {Path(row.path).name: Path(row.path).read_text() for row in shipped()}


@pytest.mark.parametrize("fix", [fix for fix in SWITCHES if fix[0] in "345"])
def test_what_a_checkpoint_remembers_marks_its_fixes_as_done(fix):
    def mark(setup: TrainingConfig) -> str | None:
        facts = setup.training.facts(
            setup.data.captions_per_clip or 5, setup.augmentation.in_words()
        )
        known = {f"training.{name}": value for name, value in facts.items()}
        known |= {"dropout": setup.model.dropout, "encoder.dropout": setup.model.encoder.dropout}
        found = training_settings(known).get(fix)
        return None if found is None else found.status

    off = without_fixes(TINY)
    if mark(off) is None:
        assert fix in {"3.6", "4.1", "4.2"}  # told by nothing but the training captions
        return
    assert (mark(off), mark(turn_on(off, fix))) == ("needed", "done")


def test_a_recipe_for_yours_leaves_the_architecture_and_carries_the_code():
    plan = [
        PlanRow(fix, fix, 2, "needed", True, "1 h", "why") for fix in ("2.1", "2.2", "3.1", "3.6")
    ]
    recipe = make_recipe(plan, {"run": "x"}, None, yours=True, rewrites={"2.1": "pool = 1"})
    assert recipe.trains == "yours"
    assert recipe.setup.model == recipe.control.model
    assert recipe.training.label_smoothing == 0.1
    assert recipe.rewrites == {"2.1": "pool = 1"}
    body = {"schema": "capfix.recipe/1", "trains": "yours", "fixes": [{"id": "2.1"}]}
    found, errors = check_recipe(body)
    assert found is not None
    assert not errors


def test_retrain_tells_promises_and_what_was_left_out(capfix, tiny_model, world):
    table = world.train_captions.read_text() + "gone.flac,a dog,,,,\n"
    Path("train.csv").write_text(table)
    done = capfix(
        *("retrain", "priority-2", "--captions", "train.csv", "--audio", world.train_audio),
        *("--test-audio", world.test_audio, "--model", tiny_model, "--epochs", "1"),
        *("--no-control", "--logs", "logs"),
    )
    assert done.status == 0, done.err
    assert "The recipe's promises: " in done.out
    assert "at least 3 times the bits" in done.out
    assert "1 clips (gone.flac) have captions but no audio" in done.out
    assert Path("repaired.pt").is_file()
    assert "gone.flac" in Path("repaired-left-out.csv").read_text()
    assert not list(Path().glob(".repaired.training*"))
    (metrics,) = Path("logs").rglob("metrics.csv")
    assert "validation/listening_bits" in metrics.read_text()


def test_a_training_killed_after_its_captioner_was_saved_goes_on(capfix, world, monkeypatch):
    from capfix_cli import api

    words = (
        *("retrain", "priority-2", "--captions", world.train_captions),
        *("--audio", world.train_audio, "--test-audio", world.test_audio),
        *("--epochs", "1", "--no-control", "--output", "new.pt"),
    )

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(api, "diagnose", killed)
        assert capfix(*words).status == 130
    saved = Path("new.pt").read_bytes()
    trained = []
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "train", lambda *given, **more: trained.append(1))
        done = capfix(*words)
    assert done.status == 0, done.err
    assert not trained  # it was done already
    assert Path("new.pt").read_bytes() == saved
    assert "there already" in capfix(*words).complaint


def test_ctrl_c_in_training_and_the_same_command_again(capfix, world, monkeypatch):
    setup = TrainingConfig(TINY, TrainingOptions(epochs=4, batch_size=8))
    recipe = Recipe({}, {}, setup, {}, setup)
    write_recipe(recipe, Path("r.yaml"))

    def words(output: str) -> tuple[object, ...]:
        return (
            *("retrain", "r.yaml", "--captions", world.train_captions, "--no-control"),
            *("--audio", world.train_audio, "--test-audio", world.test_audio, "--output", output),
        )

    def interrupted(progress, name):
        def report(step: int, steps: int, loss: float) -> None:
            if step == 11:  # in the third of four epochs
                raise KeyboardInterrupt

        return report

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "_training", interrupted)
        stopped = capfix(*words("new.pt"))
    assert stopped.status == 130
    assert not Path("new.pt").exists()
    assert len(list(Path(".new.training").glob("*/last.ckpt"))) == 1
    seen = []
    with monkeypatch.context() as patched:
        patched.setattr(
            run_module, "_training", lambda *given: lambda step, *rest: seen.append(step)
        )
        done = capfix(*words("new.pt"))
    assert done.status == 0, done.err
    assert seen == list(range(9, 17))  # from the third epoch on
    assert not Path(".new.training").exists()
    assert capfix(*words("whole.pt")).status == 0
    new, whole = (torch.load(name, weights_only=True) for name in ("new.pt", "whole.pt"))
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(new["state_dict"][name], tensor), name


def test_precision_is_mixed_where_asked(world, tmp_path):
    from test_training_resume import run

    full, _ = run(TrainingConfig(TINY, TrainingOptions(epochs=1, batch_size=8)), None)
    options = TrainingOptions(epochs=1, batch_size=8, precision="bf16-mixed")
    mixed, _ = run(TrainingConfig(TINY, options), None)
    name = "decoder.out.weight"
    assert mixed[name].dtype == torch.float32
    assert not torch.equal(mixed[name], full[name])
    assert torch.allclose(mixed[name], full[name], atol=0.02)
