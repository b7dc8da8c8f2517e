"""Recipes: written, read back, checked whole, and trained to the same weights by the same seed."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import yaml
from conftest import TINY

from capfix_cli.captioners.own.own_config import from_dict
from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.plan import PlanInputs, make_plan
from capfix_cli.schemas.diagnosis_record import AudioSummary, Diagnosis, ModelSummary
from capfix_cli.schemas.measured_values import Listening, Measure
from capfix_cli.training.caption_data import build_vocabulary, load_training_clips
from capfix_cli.training.recipe import make_recipe, training_like, write_recipe
from capfix_cli.training.recipe_reading import read_recipe
from capfix_cli.training.retraining import conclude
from capfix_cli.training.training_loop import TrainingOptions, fit

PLAN = make_plan(PlanInputs(verdict="collapsed", facts={}))


def test_a_recipe_carries_out_the_plan_and_its_control_does_not(tmp_path):
    recipe = make_recipe(PLAN, {"run": "x"}, TINY, TrainingOptions(epochs=3))
    assert recipe is not None
    assert list(recipe.fixes) == ["2.1", "2.2", "3.1"]
    assert recipe.model.encoder.pooling == "frequency"
    assert recipe.model.conditioning == "every-step"
    assert recipe.training.label_smoothing == 0.1
    assert recipe.control.model == TINY
    assert recipe.control.training == dataclasses.replace(recipe.training, label_smoothing=0.0)
    path = tmp_path / "recipe.yaml"
    write_recipe(recipe, path)
    assert f"capfix retrain {path} --captions" in path.read_text().splitlines()[1]
    assert read_recipe(path).recipe == recipe


def test_no_recipe_where_no_training_is_needed():
    assert make_recipe(make_plan(PlanInputs(verdict="healthy", facts={})), {}, TINY) is None
    bland = make_recipe(make_plan(PlanInputs(verdict="generic", facts={})), {}, TINY)
    assert bland is not None
    assert bland.model.conditioning == "attention"


def test_the_control_keeps_the_checkpoint_s_own_optimiser():
    facts = {"training.batch_size": 7, "training.learning_rate": 0.01, "training.epochs": 1}
    options = training_like(facts)
    assert (options.batch_size, options.learning_rate) == (7, 0.01)
    assert options.epochs == TrainingOptions().epochs


def test_all_errors_of_a_recipe_are_told_at_once(tmp_path):
    path = tmp_path / "recipe.yaml"
    write_recipe(make_recipe(PLAN, {}, TINY), path)
    body = yaml.safe_load(path.read_text())
    body["training"] |= {"epochs": 0, "speed": 3, "learning_rate": "fast"}
    body["model"]["conditioning"] = "telepathy"
    body["fixes"].append({"id": "9.9"})
    body["extra"] = 1
    path.write_text(yaml.safe_dump(body))
    with pytest.raises(CapfixError) as caught:
        read_recipe(path)
    for word in (
        "epochs: Input should be greater than or equal to 1, not 0",
        "speed",
        "'fast'",
        "telepathy",
        "9.9",
        "extra",
        "6 error",
    ):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "cannot be read as YAML"), ("- 1", "not a recipe"), ("{}", "schema: Field required")],
)
def test_files_that_are_no_recipe(content, message, tmp_path):
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(CapfixError, match=message):
        read_recipe(tmp_path / "r.yaml")
    with pytest.raises(CapfixError, match="no recipe"):
        read_recipe(tmp_path / "missing.yaml")


def test_training_lowers_the_loss_and_its_seed_decides_it(world):
    clips = load_training_clips(world.train_captions, world.train_audio, TINY.front_end)
    assert len(clips.features) == 32
    assert all(len(texts) == 5 for texts in clips.captions)
    losses: list[float] = []

    def progress(step, steps, loss):
        assert steps == 20
        losses.append(loss)

    options = TrainingOptions(epochs=10, batch_size=16, learning_rate=0.01)
    first = fit(TINY, clips, options, progress=progress)
    assert len(losses) == 20
    assert math.fsum(losses[-4:]) < 0.8 * math.fsum(losses[:4])
    state = torch.random.get_rng_state()
    again = fit(TINY, clips, options)
    assert torch.equal(state, torch.random.get_rng_state())  # the caller's draws are untouched
    other = fit(TINY, clips, dataclasses.replace(options, seed=1))
    weights = [c.module.decoder.out.weight for c in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not first.module.training


def test_vocabulary_holds_every_word_by_frequency():
    words = build_vocabulary([["a dog, a dog", "a bell"]])
    assert words == ["<pad>", "<bos>", "<eos>", "<unk>", "a", "dog", "bell"]


def diagnosis(bits, verdict, spread=0.1):
    heard = Listening(bits, 4.39, max(0.0, bits - spread), bits + spread, 0.5, 1 / 21)
    model, audio = ModelSummary("m", "torch", None), AudioSummary("a", 30, 1.0)
    measures = {"distinct_captions": Measure(0.5)}
    return Diagnosis("0", "r", model, audio, verdict, heard, measures, (), (), (), None, (), None)


@pytest.mark.parametrize(
    ("after", "control", "words"),
    [
        (3.5, 0.1, "the fixes matter"),
        (3.5, 1.6, "longer training did part of it"),
        (3.5, 3.45, "longer training alone reached"),
        (3.0, 3.8, "Training longer is the cure"),
        (0.2, 0.1, "did not repair"),
        (3.5, None, "Without a control"),
    ],
)
def test_the_conclusion_is_honest_about_the_control(after, control, words):
    verdict = "healthy" if after > 1.1 else "collapsed"
    beside = None if control is None else diagnosis(control, "collapsed")
    text = conclude(diagnosis(0.1, "collapsed"), diagnosis(after, verdict), beside)
    assert words in text


def test_configs_of_recipes_are_configs():
    assert from_dict(dataclasses.asdict(TINY)) == TINY
