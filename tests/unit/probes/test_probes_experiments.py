"""Experiments on captioners that are hard to ask: what remains is told, and what cannot be."""

from __future__ import annotations

import json
import math
import operator
from functools import partial

import pytest
import soundfile
import torch
from torch import nn

from benchmarks.zoo import ears, hugging
from capfix_cli.api import run_diagnosis
from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.loading import Loaded
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_config import from_dict
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.text import split_words
from capfix_cli.core.thresholds import FIT_MISFIT
from capfix_cli.decoding.encode_pass import NOT_FINITE, draw_sample, encode_and_caption
from capfix_cli.diagnosis.causes.weights_missing import match_names
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.probes import probe_cache
from capfix_cli.probes.captioner_variants import derive, on_features, remembering
from capfix_cli.probes.front_end_candidates import UNITS, feature_candidates
from capfix_cli.probes.front_ends import describe_features
from capfix_cli.probes.geometry import spread
from capfix_cli.probes.language_probe import measure_running
from capfix_cli.probes.next_word import divergence
from capfix_cli.probes.probe_cache import ProbeCache
from capfix_cli.schemas.diagnosis_record import ModelSummary


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ears.write_tones(tmp_path_factory.mktemp("tones") / "clips")


@pytest.fixture(scope="module")
def ear(folder):
    return ears.Ear(folder)


def probes(captioner, folder, references=None):
    heard = encode_and_caption(captioner, str(folder), batch_size=16, seed=0)
    return ProbeCache(captioner, heard.sample, heard.chunks, heard.captions, references, seed=0)


def examined(captioner, folder, references=None):
    heard = encode_and_caption(captioner, str(folder), batch_size=16, seed=0)
    loaded = Loaded(captioner, ModelSummary("ear", "adapter", None, None, {}))
    return heard, run_diagnosis(DiagnosisContext(loaded=loaded, clips=heard, references=references))


def needs(found):
    return {one.cause: one.needs for one in found.not_tested}


def test_a_random_captioner_is_diagnosed_and_told_of(ear, folder):
    def encode(self, waveforms, lengths):
        memory = ear.encode(waveforms, lengths)
        noise = 0.5 * torch.rand_like(memory["frames"])
        return {**memory, "frames": memory["frames"] + noise}

    _, found = examined(derive(ear, encode=encode), folder)
    assert "answers the same twice" in needs(found)["evaluation.padding"]
    assert "answers the same twice" in needs(found)["evaluation.batch-dependence"]
    assert "evaluation.train-mode" not in [cause.id for cause in found.causes]


def test_clips_without_finite_scores_are_left_out_and_named(ear, folder):
    def encode(self, waveforms, lengths):
        memory = ear.encode(waveforms, lengths)
        bad = memory["frames"][:, 2, 0] > 0.5  # those that begin with the low tone
        return {**memory, "frames": memory["frames"].masked_fill(bad.view(-1, 1, 1), math.nan)}

    heard, found = examined(derive(ear, encode=encode), folder, ears.references())
    assert len(heard.broken) == ears.PITCHES - 1
    assert [c.reason for c in heard.audio.skipped] == [NOT_FINITE] * len(heard.broken)
    assert heard.audio.clips == len(ears.PAIRS) - len(heard.broken)
    assert found.decision.verdict == "healthy"


class Bare(Captioner):
    """Only what must be given: no module, no features, no steps."""

    sample_rate = ears.RATE
    bos_id, eos_id = ears.BOS, ears.EOS
    max_length = 8

    def __init__(self, ear: ears.Ear) -> None:
        self.vocabulary = list(ears.WORDS)
        self.inner = (ear,)  # out of sight of whoever looks for networks

    def encode(self, waveforms, lengths):
        return self.inner[0].encode(waveforms, lengths)

    def logits(self, prefix, memory):
        return self.inner[0].logits(prefix, memory)


def test_a_captioner_with_nothing_but_logits_is_diagnosed(ear, folder):
    _, found = examined(Bare(ear), folder, ears.references())
    assert found.decision.verdict == "healthy"
    assert found.causes == ()
    assert "network" in needs(found)["weights.missing"]
    assert [p.place for p in found.signal] == ["waveform", "memory", "next word"]
    deaf = Bare(ear)
    deaf.logits = lambda prefix, memory: ear.logits(
        prefix, {**memory, "frames": torch.zeros_like(memory["frames"])}
    )
    _, found = examined(deaf, folder, ears.references())
    assert [cause.id for cause in found.causes[:2]] == ["unknown", "conditioning.ignored"]


def test_without_statistics_front_ends_are_ranked_by_listening_alone(ear, folder):
    class Quiet(Bare):
        def encode(self, waveforms, lengths):
            return super().encode(waveforms / 32768, lengths)

    recovery = probes(Quiet(ear), folder, ears.references()).recovery
    assert recovery.by == "listening alone"
    assert recovery.best.front_end.waveform == 32768


def test_a_search_computes_the_features_of_the_same_samples_once(ear, folder):
    asked = []

    def features(self, waveforms, lengths):
        asked.append(float(waveforms.abs().max()))
        return ear.features(waveforms, lengths)

    counting = derive(ear, features=features, encode=type(ear).encode)
    same = remembering(counting)
    waveforms, lengths = probes(ear, folder).sample.cropped(8)
    for change in (lambda x: x, lambda x: 2 * x, lambda x: x):
        found, counts = on_features(same, change).features(waveforms, lengths)
        frames, expected = ear.features(waveforms, lengths)
        assert torch.equal(found, change(frames))
        assert torch.equal(counts, expected)
    assert len(asked) == 1
    same.features(waveforms / 2, lengths)
    assert len(asked) == 2


def test_front_ends_are_not_searched_for_a_network_that_was_never_trained(ear, folder):
    torch.manual_seed(0)
    fresh = OwnCaptioner(from_dict({"conditioning": "every-step"}), [*SPECIAL, "tone", "noise"])
    fresh.module.eval()
    _, found = examined(fresh, folder, None)
    assert found.causes[0].id == "weights.untrained"
    needs = {one.cause: one.needs for one in found.not_tested}
    assert (
        needs["input.feature-scale"] == needs["input.sample-rate"] == "a network that was trained"
    )


@pytest.mark.parametrize("used", ["ln of power", "log10 of power", "dB", "ln of magnitude"])
def test_what_the_features_are_now_is_told_by_the_clips(used):
    generator = torch.Generator().manual_seed(0)
    ln_mel = (3 * torch.randn(8, 50, 16, generator=generator) - 4).clamp_min(-13.0)
    ln_mel[::2, :20] = -13.8  # silence, which other front ends floor elsewhere
    features = UNITS[used] * torch.where(ln_mel == -13.8, -23.0, ln_mel)
    known = describe_features(features, None, ln_mel)
    assert known.slope == pytest.approx(UNITS[used], rel=0.03)
    named = {front.used for front in feature_candidates(known)}
    assert named & set(UNITS) == {used}
    anything = describe_features(features, None, None)
    assert set(UNITS) <= {front.used for front in feature_candidates(anything)}


def test_features_are_fitted_on_training_clips_where_they_are_given(ear, folder, tmp_path):
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    for path in folder.iterdir():
        samples, rate = soundfile.read(path)
        samples[: int(0.7 * len(samples))] = 0
        soundfile.write(quiet / path.name, samples, rate, subtype="FLOAT")
    heard = encode_and_caption(ear, str(quiet), batch_size=16, seed=0)

    def fit(trained_on):
        asked = (ear, heard.sample, heard.chunks, heard.captions, None)
        return ProbeCache(*asked, seed=0, trained_on=trained_on).fit[0].misfit

    assert fit(None) > FIT_MISFIT.value
    assert fit(lambda: draw_sample(str(folder), ears.RATE, 96, 0)) < 0.1


def test_the_signal_dies_where_it_is_cut(ear, folder):
    class Cut(nn.Module):
        def forward(self, features):
            return torch.zeros_like(features[..., : ears.PITCHES])

    whole = {p.place: p.share for p in probes(ear, folder).signal}
    assert whole["waveform"] > 0.5
    assert whole["encoder tell"] > 0.01
    assert whole["next word"] > 0.01
    broken = ears.Ear(folder)
    broken.module.tell = Cut()
    cut = {p.place: p.share for p in probes(broken, folder).signal}
    assert cut["encoder norm"] == pytest.approx(whole["encoder norm"])
    assert cut["memory"] < 0.01 * whole["memory"] or cut["next word"] == 0


def test_a_failing_experiment_is_an_answer(ear, folder):
    def features(self, waveforms, lengths):
        raise RuntimeError("no such thing")

    failing = probes(ear, folder)
    failing.captioner = derive(ear, features=features, encode=type(ear).encode)
    with pytest.raises(ProbeFailed, match="no such thing"):
        _ = failing.geometry
    with pytest.raises(ProbeFailed, match="references"):
        _ = failing.language


def test_formulas():
    same = torch.ones(4, 3)
    assert spread(same).share == 0
    assert spread(torch.eye(4)).rank == pytest.approx(3, abs=0.01)
    p = torch.tensor([[0.5, 0.5]]).log()
    q = torch.tensor([[0.9, 0.1]]).log()
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert float(divergence(p, q)[0]) == pytest.approx(expected, abs=1e-6)
    assert float(divergence(p, p)[0]) == 0


def test_captions_that_go_astray_late_are_told_from_people():
    texts = ("a dog barks and then a bell rings", "rain falls before a dog barks")
    people = [[split_words(text)] for text in texts]
    lost = ("a dog barks and bell dog rings a", "rain falls before dog a then and")
    found = measure_running([split_words(text) for text in lost], people)
    assert found.early < 0.5
    assert found.late > 0.9
    assert measure_running([texts[0] for texts in people], people).late == 0


def test_weights_are_found_under_other_prefixes():
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    saved = {f"caption.net.{k}": torch.ones_like(v) for k, v in module.state_dict().items()}
    assert set(match_names(module, saved)) == set(module.state_dict())
    saved["other.net.0.weight"] = torch.zeros(2, 3)  # two end alike: neither is guessed
    assert "0.weight" not in match_names(module, saved)


def test_a_fault_of_capfix_in_a_probe_keeps_its_traceback(ear, folder, monkeypatch):
    asked = probes(ear, folder)
    # Without a frame of its own: whatever stands in this file is a captioner's.
    monkeypatch.setattr(probe_cache, "read_weights", partial(operator.getitem, []))
    with pytest.raises(TypeError, match="list indices"):
        _ = asked.weights


def test_a_failing_captioner_is_told_with_its_file_and_line(ear, folder):
    def features(self, waveforms, lengths):
        raise RuntimeError("no such thing")

    failing = probes(ear, folder)
    failing.captioner = derive(ear, features=features, encode=type(ear).encode)
    with pytest.raises(ProbeFailed, match=r"the probe failed with .*\(test_probes.*\.py:\d+\)"):
        _ = failing.geometry


def test_a_diagnosis_that_runs_out_of_memory_says_what_to_lower(ear, folder):
    def encode(self, waveforms, lengths):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(CapfixError, match="smaller --batch-size"):
        encode_and_caption(derive(ear, encode=encode), str(folder), batch_size=4, seed=0)


@pytest.mark.slow
def look_trained(path):
    """Skew every tensor, so that none is of the distribution that it was drawn from."""
    from safetensors.torch import load_file, save_file

    torch.manual_seed(1)
    weights = {
        name: tensor * torch.randn_like(tensor).exp() + 0.02 * torch.randn_like(tensor)
        for name, tensor in load_file(path).items()
    }
    save_file(weights, path, metadata={"format": "pt"})


def test_references_longer_than_its_positions_are_cut_and_not_fed(capfix, world, tmp_path):
    model = hugging.save_whisper(tmp_path / "whisper")  # places for a caption of 11 words
    look_trained(model / "model.safetensors")
    rows = ["file_name,caption_1"]
    names = [path.name for path in sorted(world.test_audio.iterdir())]
    rows += [f"{name},{' '.join(hugging.WORDS * 3)}" for name in names]
    (tmp_path / "long.csv").write_text("\n".join(rows) + "\n")
    done = capfix(
        *("diagnose", model, "--audio", world.test_audio, "--json", "--quiet"),
        *("--references", tmp_path / "long.csv"),
    )
    assert done.status == 0, done.err
    needs = {row["cause"]: row["needs"] for row in json.loads(done.out)["not_tested"]}
    assert "vocabulary.mismatch" not in needs
    assert not [why for why in needs.values() if "Error" in why]


def test_a_logarithm_left_out_before_the_normalisation_is_taken():
    power = torch.exp(2.0 * torch.randn(8, 120, 6, generator=torch.Generator().manual_seed(0)))
    for over in ((0, 1), (1,)):
        fed = (power - power.mean(over, keepdim=True)) / 3.0
        known = describe_features(fed, None, None)
        made = [c for c in feature_candidates(known) if "without a logarithm" in c.used]
        assert made
        logs = power.log()
        wanted = (logs - logs.mean(over, keepdim=True)).flatten()
        likeness = [
            float(torch.corrcoef(torch.stack([c.features(fed).flatten(), wanted]))[0, 1])
            for c in made
        ]
        assert max(likeness) > 0.95
    known = describe_features(power.log() - 1.0, None, None)
    assert not [c for c in feature_candidates(known) if "without a logarithm" in c.used]
