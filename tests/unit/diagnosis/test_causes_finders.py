"""One broken captioner a cause: the finder names it first, and a sound one has none."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from conftest import TINY

from benchmarks.zoo import ears
from capfix_cli.api import run_diagnosis
from capfix_cli.captioners.loading import Loaded
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.causes import discover
from capfix_cli.diagnosis.causes.cause_spec import matches
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.probes.captioner_variants import derive, on_features, on_waveforms
from capfix_cli.schemas.diagnosis_record import Cause, ModelSummary


def examined(captioner, folder, references=None, training=None, pairs_fit=True):
    heard = encode_and_caption(captioner, str(folder), batch_size=16, seed=0)
    loaded = Loaded(captioner, ModelSummary("ear", "adapter", None, None, {}))
    texts = ears.references() if references is None else references or None
    return run_diagnosis(
        DiagnosisContext(
            loaded=loaded,
            clips=heard,
            references=texts,
            training=training,
            pairs_fit=pairs_fit,
        )
    )


def names(found):
    return [cause.id for cause in found.causes]


def constant(memory):
    frames = torch.full_like(memory["frames"], 0.1)
    return {**memory, "frames": frames * memory["mask"].unsqueeze(2)}


def faint(memory):
    frames = 0.001 * memory["frames"] + constant(memory)["frames"]
    return {**memory, "frames": frames}


def by_encoding(ear, change):
    def encode(self, waveforms, lengths):
        return change(ear.encode(waveforms, lengths))

    return derive(ear, encode=encode)


def by_logits(ear, change):
    def logits(self, prefix, memory):
        return change(prefix, memory)

    return derive(ear, logits=logits)


def row_dependent(ear):
    def shift(memory):
        rows = torch.arange(len(memory["frames"])).view(-1, 1, 1)
        column = torch.arange(ears.PITCHES)
        return {**memory, "frames": memory["frames"] + torch.sin(rows * (1 + 2.0 * column))}

    return by_encoding(ear, shift)


def without_lengths(ear):
    def encode(self, waveforms, lengths):
        return ear.encode(waveforms, torch.full_like(lengths, waveforms.shape[1]))

    return derive(ear, encode=encode)


def in_training(ear):
    changed = copy.copy(ear)
    changed.module = copy.deepcopy(ear.module)
    changed.module.norm.momentum = 0.0

    def encode(self, waveforms, lengths):
        changed.module.train()
        return changed.encode_features(*changed.features(waveforms, lengths))

    return derive(changed, encode=encode)


def scrambled(ear):
    words = [*ears.WORDS[:3], *ears.WORDS[:2:-1]]
    changed = derive(ear, vocabulary=words)
    changed.__dict__.pop("_words", None)
    return changed


def averaged(ear):
    def pool(memory):
        inside = memory["mask"].unsqueeze(2)
        mean = memory["frames"].sum(1, keepdim=True) / inside.sum(1, keepdim=True)
        return {**memory, "frames": mean * inside}

    return by_encoding(ear, pool)


def hidden(ear):
    """A bland caption leads at the first word; after it nothing but its end is likely."""

    def logits(prefix, memory):
        scores = ear.logits(prefix, memory).log_softmax(1)
        if prefix.shape[1] == 1:
            bland = torch.full_like(scores, -30.0)
            bland[:, ears.THEN] = 0.0
            return torch.logaddexp(scores + math.log(0.45), bland + math.log(0.55))
        lost = prefix[:, 1] == ears.THEN
        end = torch.full_like(scores, -30.0)
        end[:, ears.THEN if prefix.shape[1] < 4 else ears.EOS] = 0.0
        return torch.where(lost.unsqueeze(1), end, scores)

    return by_logits(ear, logits)


def often_wrong(ear):
    """Some words of sound are wrong, and all are as sure as can be."""

    def logits(prefix, memory):
        scores = 12 * ear.logits(prefix, memory)
        wrong = scores.clone()
        wrong[:, ears.FIRST :] = scores[:, ears.FIRST :].roll(1, dims=1)
        odd = (memory["frames"].sum((1, 2)) * 1000).round().long() % 4 == 0
        return torch.where(odd.unsqueeze(1), wrong, scores)

    return by_logits(ear, logits)


BREAKS = {
    "input.feature-scale": lambda ear: on_features(ear, lambda x: x / math.log(10)),
    "input.sample-rate": lambda ear: derive(ear, sample_rate=16_000),
    "evaluation.batch-dependence": row_dependent,
    "evaluation.train-mode": in_training,
    "evaluation.padding": without_lengths,
    "vocabulary.mismatch": scrambled,
    "vocabulary.special-tokens": lambda ear: derive(ear, eos_id=ears.PAD, pad_id=None),
    "encoder.collapsed": lambda ear: by_encoding(ear, faint),
    "encoder.time-pooling": averaged,
    "conditioning.ignored": lambda ear: by_logits(
        ear, lambda prefix, memory: ear.logits(prefix, constant(memory))
    ),
    "conditioning.first-step-only": lambda ear: by_logits(
        ear,
        lambda prefix, memory: ear.logits(
            prefix, memory if prefix.shape[1] == 1 else constant(memory)
        ),
    ),
    "conditioning.constant-attention": lambda ear: derive(ear, gain=1e-4),
    "decoder.prefix-blind": lambda ear: by_logits(
        ear, lambda prefix, memory: ear.logits(torch.full_like(prefix, ears.BOS), memory)
    ),
    "decoder.undertrained": lambda ear: by_logits(
        ear, lambda prefix, memory: 0.15 * ear.logits(prefix, constant(memory))
    ),
    "decoder.overconfident": often_wrong,
    "decoding.search": hidden,
}
# Tested below, each in its own way.
ELSEWHERE = {
    *("input.silent-audio", "input.duplicate-audio", "weights.missing", "weights.untrained"),
    *("data.imbalanced", "data.generic-captions", "data.single-caption", "data.shifted-pairs"),
    *("data.shuffled-pairs", "training.exposure-bias"),
    # tests/unit/diagnosis/test_wiring_causes.py
    *("training.label-alignment", "training.no-end", "training.cut-short"),
    *("wiring.state-lost", "wiring.audio-lost", "wiring.paths-disagree", "wiring.prompt"),
    *("weights.unused", "encoder.untrained", "decoder.sees-ahead", "evaluation.references"),
    *("input.axes", "input.overflow", "input.padding-value"),
}


def test_every_cause_is_here():
    specs = discover()
    assert set(BREAKS) | ELSEWHERE == set(specs)
    assert len(specs) == 40
    for spec in specs.values():
        for pattern in spec.explains:
            assert any(matches(id_, (pattern,)) for id_ in specs), (spec.id, pattern)


@pytest.mark.parametrize("with_references", [True, False])
def test_a_sound_captioner_has_no_cause(ear, folder, with_references):
    found = examined(ear, folder, None if with_references else {})
    assert found.decision.verdict == "healthy"
    assert names(found) == []
    assert found.walk.steps[-1].node == "healthy"
    assert {one.cause for one in found.not_tested} >= {"data.imbalanced", "data.shifted-pairs"}


@pytest.mark.parametrize("cause", BREAKS)
def test_a_broken_captioner_has_its_cause_first(cause, ear, folder, uneven):
    found = examined(BREAKS[cause](ear), uneven if cause == "evaluation.padding" else folder)
    assert names(found)[:1] == [cause], [(c.id, c.confidence, c.evidence) for c in found.causes]
    assert found.causes[0].evidence


def test_audio_is_blamed_before_the_captioner(ear, tmp_path):
    copies = examined(ear, ears.write_tones(tmp_path / "copies", keep=2))
    assert names(copies) == ["input.duplicate-audio"]
    silent = examined(ear, ears.write_tones(tmp_path / "silent", silent=60))
    assert names(silent) == ["input.silent-audio"]


def test_weights_that_are_no_numbers_and_weights_as_created(ear, folder):
    broken = copy.copy(ear)
    broken.module = copy.deepcopy(ear.module)
    broken.module.tell.weight.data[0, 0] = float("nan")
    found = examined(broken, folder)
    assert names(found) == ["weights.missing"]
    assert found.listening is None
    torch.manual_seed(0)
    fresh = OwnCaptioner(TINY, [*SPECIAL, *ears.NAMES, "then"])
    fresh.module.eval()
    assert names(examined(fresh, folder))[0] == "weights.untrained"


def test_training_data_explain_what_follows_from_them(ear, folder):
    deaf = by_logits(ear, lambda prefix, memory: ear.logits(prefix, constant(memory)))
    shifted = Cause("data.shifted-pairs", "data", 0.9, ())
    found = examined(deaf, folder, None, [shifted])
    assert names(found)[0] == "data.shifted-pairs"
    assert "conditioning.ignored" in names(found)[1:]
    assert "data.imbalanced" not in {one.cause for one in found.not_tested}


def test_repairs_that_need_no_training_are_applied_and_measured(ear, folder):
    scale = examined(BREAKS["input.feature-scale"](ear), folder)
    assert [step.node for step in scale.walk.steps][-1] == "keep-repair"
    kept = [trial for trial in scale.repairs if trial.kept]
    assert kept[0].change.startswith("features = 2.30259 * features")
    healthy = examined(ear, folder).listening
    assert kept[0].listening.deciding_bits == pytest.approx(healthy.deciding_bits, rel=0.05)
    assert scale.best is None
    ends = examined(BREAKS["vocabulary.special-tokens"](ear), folder)
    assert any(trial.kept and "eos_id = 2" in trial.change for trial in ends.repairs)
    mode = examined(in_training(ear), folder)
    assert any(trial.kept and "eval()" in trial.change for trial in mode.repairs)


def test_another_opening_token_is_found_and_mended(ear, folder):
    def logits(prefix, memory):
        scores = ear.logits(prefix, memory)
        lost = torch.full_like(scores, -30.0)
        lost[:, ears.THEN] = 0.0
        opened = (prefix[:, 0] == ears.BOS) | (prefix.shape[1] > 1)
        return torch.where(opened.unsqueeze(1), scores, lost)

    opened = by_logits(ear, logits)
    assert names(examined(opened, folder)) == []
    found = examined(derive(opened, bos_id=ears.PAD), folder)
    assert names(found)[0] == "vocabulary.special-tokens"
    assert [t.change for t in found.repairs if t.kept] == ["bos_id = 1  # '<bos>'"]


def test_words_off_by_one_are_moved_back(ear, folder):
    words = list(ears.WORDS)
    first = words.index("then")
    off = [*words[:first], *words[first + 1 :], words[first]]
    shifted = derive(ear, vocabulary=off)
    shifted.__dict__.pop("_words", None)
    found = examined(shifted, folder)
    assert names(found)[0] == "vocabulary.mismatch"
    (trial,) = found.repairs
    assert trial.kept
    assert trial.name == "words moved by 1"
    assert trial.listening.deciding_bits == examined(ear, folder).listening.deciding_bits


def test_padding_goes_in_front_only_where_the_captioner_reads_from_the_end(ear, uneven):
    def encode(self, waveforms, lengths):
        # Silence before a clip is left out, what stands behind it is taken for sound.
        first = [int(torch.nonzero(row).min()) for row in waveforms]
        rows = [row.roll(-start) for row, start in zip(waveforms, first, strict=True)]
        return ear.encode(torch.stack(rows), waveforms.shape[1] - torch.tensor(first))

    from_the_end = examined(derive(ear, encode=encode), uneven)
    assert names(from_the_end) == ["evaluation.padding"]
    assert [t.change[:15] for t in from_the_end.repairs if t.kept] == ["pad on the left"]
    anywhere = examined(without_lengths(ear), uneven)
    assert ["one clip at a time" in t.change for t in anywhere.repairs] == [True]


@pytest.mark.parametrize("factor", [10 / math.log(10), 0.5])
def test_front_ends_are_recovered(factor, ear, folder):
    found = examined(on_features(ear, lambda x: factor * x), folder)
    assert names(found)[0] == "input.feature-scale"
    assert found.repairs[0].kept


def test_amplitude_is_recovered(ear, folder):
    found = examined(on_waveforms(ear, lambda samples: 32768 * samples), folder)
    assert names(found)[0] == "input.feature-scale"
    assert "32768" in found.repairs[0].change


def test_a_fix_whose_cause_was_ruled_out_is_not_asked_for(ear, folder):
    found = examined(BREAKS["conditioning.ignored"](ear), folder)
    plan = {row.fix: row for row in found.plan}
    assert plan["2.2"].status == "needed"
    assert "conditioning.ignored" in plan["2.2"].reason
    assert plan["2.1"].status == "not-applicable"
    assert plan["2.1"].reason.startswith("ruled out: ")
    assert "threshold" in plan["2.1"].reason


def test_decoding_is_foretold_and_the_outcome_told(ear, folder):
    deaf = examined(BREAKS["conditioning.ignored"](ear), folder).prediction
    assert not deaf.works
    assert deaf.came is False
    heard = examined(hidden(ear), folder).prediction
    assert heard.works
    assert heard.came is True
