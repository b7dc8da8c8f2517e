"""Faults of wiring, labels, files and references: each is proved, and named first."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import soundfile
import torch
from conftest import TINY
from test_causes_finders import by_logits, constant, examined, names
from torch import nn

from benchmarks.zoo import ears
from capfix_cli.captioners.loading import Loaded
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.diagnose import run_diagnosis
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.probes.captioner_variants import derive, on_features
from capfix_cli.schemas.diagnosis_record import ModelSummary


def proved(found, cause):
    """The first cause is this one, and it is proved."""
    first = found.causes[0]
    shown = [(c.id, c.status, c.confidence, c.evidence) for c in found.causes]
    assert (first.id, first.status) == (cause, "proved"), shown
    assert first.confidence >= 0.9
    assert first.mend
    assert found.lost_at == first.stage
    return first


def copying(ear):
    """Each place gives the word just read."""

    def logits(prefix, memory):
        return 9.0 * nn.functional.one_hot(prefix[:, -1], len(ears.WORDS)).float()

    return by_logits(ear, logits)


def skipping(ear):
    """Each place gives the word after the next."""

    def logits(prefix, memory):
        size = prefix.shape[1]
        fed = torch.full((len(prefix), 1), ears.BOS)
        if size == 2:
            fed = torch.tensor([[ears.BOS, ears.FIRST, ears.THEN]]).expand(len(prefix), -1)
        scores = ear.logits(fed, memory)
        told = torch.full_like(scores, -2.0)
        told[:, ears.THEN if size == 1 else ears.EOS] = 9.0
        return scores if size == 2 else told

    return by_logits(ear, logits)


def endless(ear):
    def logits(prefix, memory):
        scores = ear.logits(prefix, memory)
        ends = scores[:, ears.EOS] > 0
        scores[:, ears.EOS] = -20.0
        # Where it should end it goes on, now with this and now with that.
        scores[ends, ears.THEN] = 9.0
        scores[ends, ears.FIRST] = 8.5
        return scores

    return by_logits(ear, logits)


def cut(ear):
    """Whatever was said, the end comes after two words."""

    def logits(prefix, memory):
        scores = ear.logits(prefix, memory)
        if prefix.shape[1] == 3:
            scores = torch.full_like(scores, -2.0)
            scores[:, ears.EOS] = 9.0
        return scores

    return by_logits(ear, logits)


def forgetful(ear):
    return by_logits(ear, lambda prefix, memory: ear.logits(prefix[:, -1:], memory))


class TwoWays(ears.Ear):
    """Steps that forget the words before; whole captions are scored rightly."""

    def start(self, memory):
        return torch.zeros(len(memory["frames"]), 0, dtype=torch.long)

    def step(self, token, state, memory):
        prefix = torch.cat([state, token[:, None]], dim=1)
        return super().logits(token[:, None], memory), prefix


class Peeking(nn.Module):
    """Scores [B, T, V] of a decoder that was trained with the next word in sight."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(len(ears.WORDS), len(ears.WORDS))
        with torch.no_grad():
            self.head.weight.copy_(9.0 * torch.eye(len(ears.WORDS)))
            self.head.bias.zero_()

    def forward(self, tokens):
        after = nn.functional.one_hot(tokens[:, 1:], len(ears.WORDS)).float()
        return self.head(nn.functional.pad(after, (0, 0, 0, 1)))


class Both(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.decoder = encoder, Peeking()

    def forward(self, features):
        return self.encoder(features)


def ahead(ear):
    changed = copy.copy(ear)
    changed.module = Both(ear.module).eval()
    return by_logits(changed, lambda prefix, memory: changed.module.decoder(prefix)[:, -1])


FAULTS = {
    "training.label-alignment": [copying, skipping],
    "training.no-end": [endless],
    "training.cut-short": [cut],
    "wiring.state-lost": [forgetful],
    "wiring.audio-lost": [
        lambda ear: derive(ear, encode=lambda self, w, n: constant(ear.encode(w, n)))
    ],
    "decoder.sees-ahead": [ahead],
    "input.axes": [lambda ear: on_features(ear, lambda x: x.flip(2))],
}


@pytest.mark.parametrize(
    ("cause", "fault"), [(cause, fault) for cause, faults in FAULTS.items() for fault in faults]
)
def test_a_fault_is_proved(cause, fault, ear, folder):
    proved(examined(fault(ear), folder, pairs_fit=None), cause)


def test_paths_that_disagree_are_mended_by_the_other(ear, folder):
    found = examined(TwoWays(folder), folder)
    cause = proved(found, "wiring.paths-disagree")
    assert cause.restored is not None
    assert cause.restored.share > 0.9
    assert [repair.name for repair in found.repairs if repair.kept] == ["every step by logits()"]
    assert "word 4" in cause.mend


@pytest.mark.parametrize("with_references", [True, False])
def test_the_prompt_that_works_is_named(with_references, ear, folder):
    words = [*ears.WORDS, "<task>", "<other>"]
    task, other = len(words) - 2, len(words) - 1

    def logits(self, prefix, memory):
        scores = ear.logits(torch.cat([prefix[:, :1], prefix[:, 2:]], dim=1), memory)
        scores = nn.functional.pad(scores, (0, 2), value=-30.0)
        lost = torch.full_like(scores, -30.0)
        lost[:, ears.EOS] = 0.0
        return torch.where((prefix[:, 1:2] == task).all(dim=1, keepdim=True), scores, lost)

    def opening(token):
        return lambda self, batch: torch.tensor([[ears.BOS, token]]).expand(batch, 2)

    captioner = derive(ear, logits=logits, start_prefix=opening(task), vocabulary=words)
    captioner.__dict__.pop("_words", None)
    texts = None if with_references else {}
    assert names(examined(captioner, folder, texts)) == []
    found = examined(derive(captioner, start_prefix=opening(other)), folder, texts)
    cause = proved(found, "wiring.prompt")
    assert f"Open captions with <bos> <task> ([1, {task}])" in cause.mend
    assert found.repairs[0].kept


def test_references_of_other_rows_are_found_out(ear, folder):
    own = ears.references()
    files = list(own)
    for step in (3, 7):
        moved = {name: own[files[(n + step) % 30]] for n, name in enumerate(files)}
        cause = proved(examined(ear, folder, moved), "evaluation.references")
        assert step != 3 or f"{-3:+d} rows on" in cause.mend
    # A captioner that hears wrongly has no clip that its references fit.
    wrong = by_logits(ear, lambda prefix, memory: ear.logits(prefix, noise(memory)))
    assert "evaluation.references" not in names(examined(wrong, folder))


def noise(memory):
    order = torch.randperm(ears.PITCHES, generator=torch.Generator().manual_seed(1))
    return {**memory, "frames": memory["frames"][..., order].roll(1, dims=1)}


@pytest.mark.parametrize("hidden", [True, False])
def test_overflow_is_found_hidden_or_not(hidden, ear, tmp_path):
    even = ears.write_tones(tmp_path / "even")
    loud = tmp_path / "loud"
    loud.mkdir()
    for number, path in enumerate(sorted(even.iterdir())):
        samples, rate = soundfile.read(path, dtype="float32")
        gain = 3.0 if number % 3 == 0 else 1.0
        soundfile.write(loud / path.name, gain * samples, rate, subtype="FLOAT")

    def encode(self, waveforms, lengths):
        peak = waveforms.abs().amax(dim=1, keepdim=True)
        memory = ear.encode(0.3 * waveforms / peak, lengths)
        frames = memory["frames"].clone()
        frames[peak[:, 0] > 0.6] = torch.nan
        return {**memory, "frames": frames.nan_to_num(0.0) if hidden else frames}

    found = examined(derive(ear, encode=encode), loud)
    cause = found.causes[0]
    assert (cause.id, cause.status) == ("input.overflow", "proved")
    assert ("6 of 16 clips" if hidden else "10 of 30 clips") in cause.mend


def filed(captioner, folder, path):
    """Diagnose a captioner beside the file that it is said to come from."""
    heard = encode_and_caption(captioner, str(folder), batch_size=16, seed=0)
    loaded = Loaded(captioner, ModelSummary(str(path), "adapter", None, None, {}))
    case = DiagnosisContext(loaded=loaded, clips=heard, references=ears.references())
    return run_diagnosis(case)


def test_tensors_left_out_on_either_side_are_named(ear, folder, tmp_path):
    deaf = by_logits(ear, lambda prefix, memory: ear.logits(prefix, constant(memory)))
    state = ear.module.state_dict()
    path = tmp_path / "model.pt"
    torch.save(state, path)
    assert not any(name.startswith("weights.") for name in names(filed(deaf, folder, path)))
    more = tmp_path / "adapters.pt"
    adapters = {f"tell.lora_{side}.weight": torch.randn(3, 4) for side in "AB"}
    other = {"teacher.layer.weight": torch.randn(5, 5)}
    torch.save({**state, **adapters, **other}, more)
    cause = proved(filed(deaf, folder, more), "weights.unused")
    assert "tell.lora_A.weight, tell.lora_B.weight are in it" in cause.mend
    # A sound captioner may have a file with more in it.
    assert names(filed(ear, folder, more)) == []
    larger = tmp_path / "larger.pt"
    torch.save({**state, "tell.weight": torch.randn(ears.PITCHES, ears.BANDS + 1)}, larger)
    for captioner in (deaf, ear):
        cause = filed(captioner, folder, larger).causes[0]
        assert (cause.id, cause.status) == ("weights.missing", "proved")
        assert "tell.weight" in cause.mend
        assert "another shape" in cause.mend


def test_an_encoder_that_no_gradient_reached(folder):
    torch.manual_seed(0)
    captioner = OwnCaptioner(TINY, [*SPECIAL, *ears.NAMES, "then"])
    with torch.no_grad():
        for parameter in captioner.module.decoder.parameters():
            parameter.add_(0.7 * torch.randn_like(parameter) + 0.1)
    captioner.module.eval()
    cause = proved(examined(captioner, folder), "encoder.untrained")
    assert "requires_grad" in cause.mend


def test_what_stands_behind_clips_in_training_is_put_there(ear, uneven):
    quiet, _ = ear.features(torch.zeros(1, ears.RATE), torch.tensor([ears.RATE]))
    silence = quiet[0, 0]

    def features(self, waveforms, lengths):
        found, counts = ear.features(waveforms, lengths)
        inside = torch.arange(found.shape[1]).unsqueeze(0) < counts.unsqueeze(1)
        # Behind each clip stands its first frame, again and again.
        return torch.where(inside.unsqueeze(2), found, found[:, :1]), counts

    def encode_features(self, features, lengths):
        silent = (features - silence).abs().amax(dim=2) < 0.5
        last = torch.tensor([int(torch.nonzero(~row).max()) + 1 for row in silent])
        return ear.encode_features(features, last)

    found = examined(
        derive(ear, features=features, encode_features=encode_features, encode=type(ear).encode),
        uneven,
    )
    assert found.causes[0].id in {"input.padding-value", "evaluation.padding"}
    kept = [repair.name for repair in found.repairs if repair.kept]
    assert "silence behind each clip, fed what stands there now" in kept


def test_without_training_data_what_is_only_located_is_suspected(ear, folder):
    deaf = by_logits(ear, lambda prefix, memory: ear.logits(prefix, constant(memory)))
    found = examined(deaf, folder, pairs_fit=None)
    assert names(found)[:2] == ["unknown", "conditioning.ignored"]
    assert found.causes[1].status == "suspected"
    assert found.causes[1].confidence < 0.5
    assert found.lost_at.startswith("conditioning")
    assert any("--train-captions" in mend for mend in found.mends)
    assert found.walk.steps[0].answer == "no"
    shown = examined(deaf, folder, pairs_fit=True)
    proved(shown, "conditioning.ignored")


def test_numbers_of_the_same_seed_are_the_same(ear, folder):
    one, other = (examined(FAULTS["input.axes"][0](ear), folder) for _ in range(2))
    assert one.causes == other.causes
    assert np.isfinite([cause.confidence for cause in one.causes]).all()


def test_a_captioner_that_cannot_share_memory_is_scored_without(ear, folder):
    wrong = derive(ear, shares_memory=True)
    found, sound = examined(wrong, folder), examined(ear, folder)
    assert found.decision == sound.decision
    assert found.listening == sound.listening
    assert not wrong.shares_memory


def test_a_probe_that_fails_names_the_captioners_line(ear, folder):
    def encode_features(self, features, lengths):
        if len(features) == 1:
            raise ValueError("one clip alone")
        return ear.encode_features(features, lengths)

    found = examined(derive(ear, encode_features=encode_features), folder)
    assert found.decision.verdict == "healthy"
    told = {one.cause: one.needs for one in found.not_tested}
    assert "ValueError: one clip alone (test_wiring_causes.py:" in told["evaluation.padding"]


def test_a_network_that_was_trained_on_silence(ear, folder):
    silent = copy.deepcopy(ear)
    quiet, _ = ear.features(torch.zeros(1, ears.RATE), torch.tensor([ears.RATE]))
    silent.module.norm.running_mean.copy_(quiet[0].mean(0))
    silent.module.norm.running_var.fill_(50.0)  # of noise that augments
    deaf = by_logits(silent, lambda prefix, memory: silent.logits(prefix, constant(memory)))
    # Training data need not be given: what BatchNorm remembers proves it.
    cause = proved(examined(deaf, folder, pairs_fit=None), "conditioning.ignored")
    assert "silence" in cause.mend
    # The same decoder behind a sound encoder has never heard silence.
    deaf = by_logits(ear, lambda prefix, memory: ear.logits(prefix, constant(memory)))
    assert "silence" not in examined(deaf, folder, pairs_fit=True).causes[0].mend


def test_numbers_out_of_range_need_no_loud_clips(ear, folder):
    def encode(self, waveforms, lengths):
        # Levelled, so that turning the sound down changes nothing.
        level = waveforms.abs().amax(dim=1, keepdim=True)
        memory = ear.encode(0.3 * waveforms / level, lengths)
        frames = memory["frames"].clone()
        first = frames.sum(1).argmax(dim=1) % 3 == 0
        frames[first] *= 1e6
        return {**memory, "frames": frames}

    def logits(self, prefix, memory):
        scores = ear.logits(prefix, memory)
        huge = memory["frames"].abs().flatten(1).amax(1) > 1e3
        return torch.where(huge.unsqueeze(1), torch.zeros_like(scores), scores)

    found = examined(derive(ear, encode=encode, logits=logits), folder)
    cause = proved(found, "input.overflow")
    assert "louder" not in cause.mend


def test_what_a_captioner_draws_is_no_disagreement_of_its_paths(ear, folder):
    def drawn(scores):
        return scores + 1.5 * torch.randn_like(scores)

    def sequence(self, tokens, memory):
        each = [ear.logits(tokens[:, : n + 1], memory) for n in range(tokens.shape[1])]
        return drawn(torch.stack(each, dim=1))

    noisy = derive(
        ear,
        logits=lambda self, prefix, memory: drawn(ear.logits(prefix, memory)),
        sequence_logits=sequence,
    )
    torch.manual_seed(0)
    assert "wiring.paths-disagree" not in names(examined(noisy, folder))


def test_memories_of_another_shape_are_told_with_the_captioners_line(ear, folder):
    def encode(self, waveforms, lengths):
        memory = ear.encode(waveforms, lengths)
        if len(waveforms) not in {14, 16}:  # as its author tried it, and no other batch
            memory["frames"] = memory["frames"][:, :, :2]
        return memory

    def logits(self, prefix, memory):
        return ear.logits(prefix, {**memory, "frames": memory["frames"] + torch.zeros(6)})

    found = examined(derive(ear, encode=encode, logits=logits), folder)
    told = " ".join(one.needs for one in found.not_tested)
    assert "test_wiring_causes.py:" in told
    assert "capfix_cli" not in told
