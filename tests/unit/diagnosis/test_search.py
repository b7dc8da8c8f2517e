"""The search over decoding settings, and how much of the audio trials may use."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.zoo import toys
from capfix_cli.core.progress import no_progress
from capfix_cli.core.thresholds import CONTRAST_SET, MIN_CLIPS, TRIAL_BUDGET
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator
from capfix_cli.diagnosis.trials.decoding_trials import LOOKS, DecodingTrials
from capfix_cli.diagnosis.trials.settings_search import halve, rungs
from capfix_cli.diagnosis.trials.trial_budget import affordable
from capfix_cli.fixes.decoding_fixes import DECODING_FIXES, SEARCHED, DecodingFix
from capfix_cli.fixes.trial_ranking import pareto_front
from capfix_cli.probes.captioner_cost import Cost, measure_cost
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.diagnosis_record import Trial
from capfix_cli.schemas.measured_values import Listening, Measure


def trial(name, distinct, bits, kept=True, clips=10):
    listening = Listening(bits, 4.0, bits, bits, 0.5, 0.05)
    measures = {"distinct_captions": Measure(distinct)}
    return Trial("1.1", name, {}, measures, listening, "healthy", kept, "", "kept", clips)


@given(st.integers(1, 60), st.integers(20, 400))
def test_rounds_have_ever_fewer_settings_on_ever_more_clips(settings, clips):
    plan = rungs(settings, clips)
    assert plan[0].settings == settings
    assert plan[-1].clips == clips
    assert all(a.clips <= b.clips and a.settings >= b.settings for a, b in itertools.pairwise(plan))
    assert all(rung.settings >= 1 for rung in plan)
    # Halving is worth it: it costs less than half of trying everything on all clips.
    if settings >= 9 and len(plan) == 3:
        assert sum(r.settings * r.clips for r in plan) < 0.5 * settings * clips


def test_the_best_setting_wins_though_it_comes_last():
    fixes = [DecodingFix(fix=str(n), options=DecodingOptions(contrast=float(n))) for n in range(12)]
    made = []

    def attempt(fix, clips):
        made.append((fix.fix, clips))
        return trial(fix.fix, 0.9, float(fix.fix) / 4, clips=clips)

    found = halve(fixes, 243, attempt)
    assert [t.name for t in found] == [fix.fix for fix in fixes]
    assert [t.name for t in found if t.clips == 243] == ["10", "11"]
    assert len(made) == sum(rung.settings for rung in rungs(12, 243))


def test_settings_that_do_not_work_come_after_all_that_do():
    def attempt(fix, clips):
        return trial(fix.fix, 0.9, 9 - int(fix.fix), kept=fix.fix == "8", clips=clips)

    fixes = [DecodingFix(fix=str(n), options=DecodingOptions(contrast=float(n))) for n in range(9)]
    assert "8" in [t.name for t in halve(fixes, 300, attempt) if t.clips == 300]


def test_the_front_holds_what_nothing_beats_on_both_axes():
    trials = [
        trial("bland", 0.1, 3.0),
        trial("salad", 1.0, 0.0),
        trial("good", 0.8, 2.0),
        trial("worse", 0.7, 1.9),
        trial("twin", 0.8, 2.0),
    ]
    assert pareto_front(trials) == {"bland", "salad", "good", "twin"}


def test_cheap_captioners_are_tried_on_everything_and_dear_ones_on_less():
    whole = affordable(Cost(1e6), 256, 30)
    assert (whole.clips, whole.contrast) == (256, int(CONTRAST_SET.value))
    before = whole
    for token in (1e7, 1e8, 1e9, 1e10, 1e13):
        scale = affordable(Cost(token), 256, 30)
        assert scale.contrast <= before.contrast
        assert scale.clips <= before.clips
        before = scale
    assert (before.clips, before.contrast) == (int(MIN_CLIPS.value), 6)
    dear = affordable(Cost(1e8), 256, 30)
    assert dear.clips * (1 + dear.contrast) * 15 * 1e8 <= TRIAL_BUDGET.value


def evaluator(rule, tmp_path):
    captioner = toys.Toy(rule)
    heard = encode_and_caption(
        captioner, str(toys.write_clips(tmp_path / "clips")), batch_size=8, seed=0
    )
    return DecodingEvaluator(Scorer(captioner, heard.chunks), None, 0)


def test_the_cost_of_a_step_is_counted(tmp_path):
    import torch

    class Costly(toys.Toy):
        def logits(self, prefix, memory):
            torch.ones(len(prefix), 50) @ torch.ones(50, 7)
            return super().logits(prefix, memory)

    captioner = Costly(toys.healthy)
    heard = encode_and_caption(
        captioner, str(toys.write_clips(tmp_path / "clips")), batch_size=8, seed=0
    )
    assert measure_cost(captioner, heard.chunks[0]).token == 2 * 50 * 7


def test_a_search_is_hopeless_where_nothing_listens(tmp_path):
    deaf = evaluator(toys.deaf, tmp_path)
    assert not deaf.worth_searching([deaf.trial("contrast-1")])
    other = tmp_path / "other"
    other.mkdir()
    heard = evaluator(toys.needs_contrast, other)
    assert heard.worth_searching([heard.trial("contrast-1")])


def test_a_search_tries_all_settings_and_the_winner_is_decoded_by_generate(capfix, tmp_path):
    audio = toys.write_clips(tmp_path / "audio")
    (tmp_path / "my_toys.py").write_text(
        "from benchmarks.zoo.toys import Toy, needs_contrast\n\n\n"
        "def load(checkpoint, device):\n    return Toy(needs_contrast)\n"
    )
    model = tmp_path / "model.bin"
    model.write_bytes(b"nothing")
    run = capfix("diagnose", model, "--audio", audio, "--adapter", "my_toys.py:load", "--json")
    assert run.status == 0, run.err
    found = json.loads(run.out)
    names = {row["name"] for row in found["trials"]}
    assert {fix.options.describe() for fix in SEARCHED} <= names
    assert any(row["pareto"] for row in found["trials"])
    best = [row for row in found["trials"] if row["decoding"] == found["best_decoding"]]
    assert best[0]["kept"]
    top = max(row["listening"]["bits"] for row in found["trials"] if row["kept"])
    assert best[0]["listening"]["bits"] == top
    decoding = json.loads((tmp_path / ".capfix/runs" / found["run"] / "decoding.json").read_text())
    assert all(decoding[key] == value for key, value in found["best_decoding"].items())
    again = capfix("generate")
    assert again.status == 0, again.err
    assert DecodingOptions(**found["best_decoding"]).describe() in again.err


@pytest.mark.parametrize("name", sorted(DECODING_FIXES))
def test_trials_on_fewer_clips_say_so(name, tmp_path):
    made = evaluator(toys.hidden_by_search, tmp_path)
    part = made.attempt(DECODING_FIXES[name], 24)
    assert part.clips == 24
    assert "on 24 clips" in part.reason


def test_what_a_search_left_behind_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("capfix_cli.diagnosis.trials.settings_search.FEWEST_CLIPS", toys.CLIPS // 3)
    made = evaluator(toys.needs_contrast, tmp_path)
    found = made.search()
    part = [trial for trial in found if trial.clips < made.scale.clips]
    assert part
    assert not any(trial.kept for trial in part)
    assert all(trial.reason.endswith(", others went on") for trial in part)
    assert any(trial.kept for trial in found)


def test_doubted_trials_are_made_on_few_clips_and_on_all_only_if_they_work(tmp_path, monkeypatch):
    monkeypatch.setattr("capfix_cli.diagnosis.trials.decoding_evaluator.DOUBTED_CLIPS", 20)
    for rule in (toys.deaf, toys.hidden_by_search):
        folder = tmp_path / rule.__name__
        folder.mkdir()
        made = evaluator(rule, folder)
        trial = made.trial("temperature-0.8-top-p-0.9", doubted=True)
        works = rule is toys.hidden_by_search
        assert trial.kept == works
        assert trial.clips == (toys.CLIPS if works else 20)
        assert trial.reason.endswith("on 20 clips") != works


@pytest.fixture
def few_clips_do(monkeypatch):
    """Thirty clips are then enough to part."""
    fewest = replace(MIN_CLIPS, value=toys.CLIPS // 3)
    monkeypatch.setattr("capfix_cli.diagnosis.trials.decoding_evaluator.MIN_CLIPS", fewest)
    return fewest.value


def test_the_winner_is_judged_on_clips_that_no_trial_was_made_on(tmp_path, few_clips_do):
    whole = evaluator(toys.needs_contrast, tmp_path)
    tried, others = whole.halves
    assert not set(tried.ranked) & set(others.ranked)
    assert {*tried.ranked, *others.ranked} == set(whole.scorer.names)
    assert min(len(tried.ranked), len(others.ranked)) >= few_clips_do
    trials = DecodingTrials(whole, no_progress)
    made = [trials.run(name, doubted=False) for name in ("beam-5", "contrast-1")]
    assert [trial.kept for trial in made] == [False, True]
    assert trials.best is None  # nobody asked the others yet
    trials.settle()
    best = trials.best
    assert best.kept
    assert best.clips == len(others.ranked)
    assert best.reason.endswith(f"on {best.clips} clips that it was not chosen by")
    assert {c.file_name for c in trials.captions(best)} == set(whole.scorer.names)


def test_what_works_by_luck_on_the_clips_that_chose_it_is_not_recommended(tmp_path, few_clips_do):
    whole = evaluator(toys.needs_contrast, tmp_path)
    _, others = whole.halves
    asked = []

    def by_luck(fix, clips):
        asked.append(fix)
        return replace(trial(fix.options.describe(), 0.1, 0.1, kept=False), outcome="repeats")

    others.attempt = by_luck
    trials = DecodingTrials(whole, no_progress)
    trials.run("contrast-1", doubted=False)
    trials.search()
    worked = sum(trial.kept for trial in trials.made)
    assert worked > LOOKS
    trials.settle()
    assert trials.best is None
    assert len(asked) == LOOKS  # the more are asked the likelier one holds by luck
    told = [trial.outcome for trial in trials.made]
    assert told.count("not-held") == LOOKS
    assert told.count("unasked") == worked - LOOKS


def test_too_few_clips_to_hold_any_out_are_said_to_be_so(tmp_path):
    captioner = toys.Toy(toys.needs_contrast)
    audio = toys.write_clips(tmp_path / "clips")
    heard = encode_and_caption(captioner, str(audio), batch_size=8, seed=0)
    assert len(heard.captions) < 2 * MIN_CLIPS.value
    few = DecodingEvaluator(Scorer(captioner, heard.chunks), None, 0)
    assert few.halves == (few, None)
    trials = DecodingTrials(few, no_progress)
    trials.run("contrast-1", doubted=False)
    trials.settle()
    assert trials.best.reason.endswith("chosen by, too few others being left")


def test_a_part_of_the_clips_is_decoded_side_by_side_and_says_the_same(tmp_path):
    made = evaluator(toys.needs_contrast, tmp_path)
    options = DecodingOptions(do_sample=True, top_p=0.9)
    whole = {c.file_name: c.tokens for c in made.observe(options).captions}
    part = made.observe(options, 12).captions
    assert {c.file_name: c.tokens for c in part} == {c.file_name: whole[c.file_name] for c in part}
    assert max(len(chunk.names) for chunk in made._parts(12)) > 12 * 8 / toys.CLIPS
