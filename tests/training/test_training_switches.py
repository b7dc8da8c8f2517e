"""Every switch of a recipe by its effect: on losses, on what is fed, on what is drawn."""

from __future__ import annotations

import copy
import math
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import TINY
from torch.nn import functional as F

from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.training import losses
from capfix_cli.training.data_preparation import is_specific
from capfix_cli.training.item_order import Batches, Epochs, balanced, class_weights, kinds_of
from capfix_cli.training.objective import Objective, tokens_of
from capfix_cli.training.schedules import competence, inverse_sigmoid, linear, sampling_share
from capfix_cli.training.switches import SWITCHES, turn_on, without_fixes
from capfix_cli.training.training_config import DataOptions, TrainingConfig, TrainingOptions

WORDS = ["a", "dog", "barks", "rain", "falls", "then", "bell", "rings"]
CAPTIONS = ["a dog barks", "rain falls then a bell rings", "a bell rings", "a dog barks then rain"]


@pytest.fixture
def captioner():
    torch.manual_seed(0)
    return OwnCaptioner(TINY, [*SPECIAL, *WORDS])


@pytest.fixture
def batch(captioner):
    features, lengths = torch.randn(4, 20, 64), torch.tensor([20, 12, 17, 20])
    return features, lengths


def loss_of(captioner, batch, progress=0.0, **options):
    objective = Objective(captioner, TrainingOptions(**options))
    memory = captioner.encode_features(*batch)
    return objective(memory, CAPTIONS, progress)


# --- which switches there are -----------------------------------------------------------------


@pytest.mark.parametrize("fix", [fix for fix in SWITCHES if fix != "2.6"])
def test_turning_a_fix_on_turns_it_on_and_nothing_else(fix):
    off = without_fixes(TrainingConfig().model)
    assert not SWITCHES[fix].is_on(off)
    on = turn_on(off, fix)
    assert SWITCHES[fix].is_on(on)
    implied = {"2.3": {"2.2"}, "2.5": {"2.2", "2.3"}}.get(fix, set())
    others = {name for name in SWITCHES if SWITCHES[name].is_on(on)} - {fix}
    assert others == implied
    assert turn_on(on, fix) == on


# --- 3.1, and the loss through the contract ---------------------------------------------------


def test_the_objective_is_the_captioner_s_own_loss_and_smoothing_is_the_mixture(captioner, batch):
    captioner.module.eval()
    plain, parts = loss_of(captioner, batch)
    own = captioner.feature_loss(*batch, CAPTIONS)
    torch.testing.assert_close(plain, own)
    assert set(parts) == {"words"}
    smooth, _ = loss_of(captioner, batch, label_smoothing=0.1)
    torch.testing.assert_close(smooth, captioner.feature_loss(*batch, CAPTIONS, 0.1))
    assert not torch.allclose(smooth, plain)


def test_captions_beyond_the_limit_are_cut_without_an_end(captioner):
    long = " ".join(["dog"] * 30)
    tokens = tokens_of(captioner, [long, "a dog"])
    assert tokens.targets.shape == (2, TINY.max_length + 1)
    assert captioner.eos_id not in tokens.targets[0].tolist()
    assert tokens.targets[1][:3].tolist() == [*captioner.tokenize("a dog"), captioner.eos_id]
    assert tokens.real.sum(1).tolist() == [TINY.max_length + 1, 3]


# --- 3.2 scheduled sampling -------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["linear", "inverse-sigmoid"])
def test_the_sampling_rate_rises_from_nothing_to_the_final_share(schedule):
    shares = [sampling_share(0.5, schedule, step / 100) for step in range(101)]
    assert shares[0] == pytest.approx(0)
    assert shares[-1] == pytest.approx(0.5)
    assert shares == sorted(shares)
    assert shares[50] == pytest.approx(0.25)


def test_the_inverse_sigmoid_is_the_paper_s_and_the_linear_is_straight():
    k = 10.0
    middle = k * math.log(k)

    def paper(i):
        return 1 - k / (k + math.exp(i / k))

    low, high = paper(0), paper(2 * middle)
    for step in range(11):
        expected = (paper(2 * middle * step / 10) - low) / (high - low)
        assert inverse_sigmoid(step / 10) == pytest.approx(expected)
        assert linear(step / 10) == pytest.approx(step / 10)


def test_the_decoder_is_fed_its_own_words_at_the_share_of_now(captioner, batch, monkeypatch):
    fed = []
    plain = captioner.sequence_logits

    def spy(tokens, memory):
        fed.append(tokens)
        return plain(tokens, memory)

    monkeypatch.setattr(type(captioner), "sequence_logits", lambda self, *given: spy(*given))
    rates = {}
    for progress in (0.0, 0.5, 1.0):
        changed = total = 0
        for _ in range(40):
            fed.clear()
            loss_of(captioner, batch, progress, scheduled_sampling=0.5)
            truth = tokens_of(captioner, CAPTIONS)
            assert torch.equal(fed[0], truth.inputs)  # the first pass is on the true words
            assert torch.equal(fed[-1][:, 0], truth.inputs[:, 0])  # begin always stays
            changed += int((fed[-1] != truth.inputs)[:, 1:].sum())
            total += truth.inputs[:, 1:].numel()
        rates[progress] = changed / total
        assert len(fed) == (1 if progress == 0 else 2)
    assert rates[0.0] == 0
    # An untrained captioner's guess is seldom the true word.
    assert rates[0.5] == pytest.approx(0.25, abs=0.05)
    assert rates[1.0] == pytest.approx(0.5, abs=0.06)


# --- 3.3 diversity ----------------------------------------------------------------------------


def certain(words: list[int], size: int = 6) -> torch.Tensor:
    return F.one_hot(torch.tensor([words]), size).float() * 60


def test_expected_repeats_are_counted_and_have_a_gradient():
    real = torch.ones(1, 4, dtype=torch.bool)
    assert float(losses.repeat_penalty(certain([3, 3, 3, 3]), real)) == pytest.approx(1)
    assert float(losses.repeat_penalty(certain([3, 4, 3, 4]), real)) == pytest.approx(0, abs=1e-6)
    assert float(losses.repeat_penalty(certain([3, 3, 4, 5]), real)) == pytest.approx(1 / 3)
    short = torch.tensor([[True, True, False, False]])
    assert float(losses.repeat_penalty(certain([3, 4, 4, 4]), short)) == pytest.approx(0, abs=1e-6)
    logits = torch.randn(2, 4, 6, requires_grad=True)
    before = losses.repeat_penalty(logits, real.expand(2, 4))
    (grad,) = torch.autograd.grad(before, logits)
    assert grad.abs().sum() > 0
    assert losses.repeat_penalty(logits - grad, real.expand(2, 4)) < before


def test_unlikelihood_punishes_words_said_before_unless_they_are_due():
    inputs = torch.tensor([[1, 3, 4, 3]])  # begin, 3, 4, 3
    real = torch.ones(1, 4, dtype=torch.bool)
    due = torch.tensor([[3, 4, 3, 2]])
    # 3 again at the third place is what the caption has: no cost there, but at the last place.
    odds = certain([3, 4, 3, 5])
    assert float(losses.unlikelihood(odds, inputs, due, real)) == pytest.approx(0, abs=1e-5)
    stutter = certain([3, 3, 3, 5])
    assert float(losses.unlikelihood(stutter, inputs, due, real)) > 1
    logits = torch.randn(1, 4, 6, requires_grad=True)
    losses.unlikelihood(logits, inputs, due, real).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
    # By hand: one place, one earlier word with probability p: -ln(1 - p).
    one = torch.tensor([[[0.0, 0.0, 0.0, math.log(2)]]])
    cost = losses.unlikelihood(one, torch.tensor([[3]]), torch.tensor([[2]]), real[:, :1])
    assert float(cost) == pytest.approx(-math.log(1 - 2 / 5), abs=1e-5)


def test_alpha_weighs_the_penalty_and_is_held_to_one(captioner, batch):
    captioner.module.eval()
    plain, _ = loss_of(captioner, batch)
    for alpha, used in ((0.2, 0.2), (1.0, 1.0), (5.0, 1.0)):
        loss, parts = loss_of(captioner, batch, diversity_alpha=alpha)
        torch.testing.assert_close(loss - plain, used * parts["repeats"])
    _, parts = loss_of(captioner, batch, diversity_alpha=0.1, diversity_form="unlikelihood")
    assert float(parts["repeats"].detach()) > 0


# --- 3.6 listening ----------------------------------------------------------------------------


def test_the_listening_objective_is_chance_for_the_deaf_and_teaches_hearing(captioner, batch):
    captioner.module.eval()
    features, lengths = batch
    deaf = (features[:1].expand(4, -1, -1), lengths[:1].expand(4))
    _, parts = loss_of(captioner, deaf, listening_weight=1.0, listening_negatives=3)
    assert float(parts["listening"].detach()) == pytest.approx(math.log(4), abs=1e-5)
    loss, parts = loss_of(captioner, batch, listening_weight=0.5, listening_negatives=3)
    torch.testing.assert_close(loss, parts["words"] + 0.5 * parts["listening"])
    optimizer = torch.optim.AdamW(captioner.module.parameters(), lr=0.01)
    for _ in range(60):
        _, parts = loss_of(captioner, batch, listening_weight=1.0, listening_negatives=3)
        optimizer.zero_grad()
        parts["listening"].backward()
        optimizer.step()
    _, after = loss_of(captioner, batch, listening_weight=1.0, listening_negatives=3)
    assert float(after["listening"].detach()) < 0.2 * math.log(4)


def test_listening_scores_are_the_probe_s(captioner, batch):
    """What is trained is ln p(caption | clip), as capfix_cli.probes scores it."""
    from capfix_cli.decoding.decode import EncodedBatch
    from capfix_cli.probes.pair_scoring import Scorer

    captioner.module.eval()
    memory = captioner.encode_features(*batch)
    objective = Objective(captioner, TrainingOptions(listening_weight=1.0, listening_negatives=3))
    tokens = tokens_of(captioner, CAPTIONS)
    seen = {}
    plain = losses.listening_loss
    losses.listening_loss = lambda scores: seen.setdefault("scores", scores).sum()
    try:
        objective(memory, CAPTIONS, 0.0)
    finally:
        losses.listening_loss = plain
    assert tokens.real.any()
    with torch.inference_mode():
        scorer = Scorer(
            captioner, [EncodedBatch(("0", "1", "2", "3"), captioner.encode_features(*batch))]
        )
        for row, text in enumerate(CAPTIONS):
            ids = (*captioner.tokenize(text), captioner.eos_id)
            pairs = [(ids, str((row + step) % 4)) for step in range(4)]
            expected = scorer.log_probabilities(pairs)
            assert seen["scores"][row].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


# --- mixup in the loss ------------------------------------------------------------------------


def test_mixed_clips_answer_for_both_captions_by_their_shares(captioner, batch):
    captioner.module.eval()
    objective = Objective(captioner, TrainingOptions())
    memory = captioner.encode_features(*batch)
    other = CAPTIONS[::-1]

    def of(mix):
        return float(objective(memory, CAPTIONS, 0.0, mix)[0].detach())

    assert of((other, torch.ones(4))) == pytest.approx(of(None), abs=1e-5)
    swapped = float(objective(memory, other, 0.0)[0].detach())
    assert of((other, torch.zeros(4))) == pytest.approx(swapped, abs=1e-5)
    low, high = sorted((of(None), swapped))
    assert low - 1e-6 <= of((other, torch.full((4,), 0.5))) <= high + 1e-6


# --- 3.5 curriculum, 4.1 balance, order -------------------------------------------------------


def captions_of(*lengths: int) -> list[list[str]]:
    return [[" ".join(["word"] * length)] for length in lengths]


def longest(epochs: Epochs, epoch: int, captions) -> int:
    return max(len(captions[i.clip][i.caption].split()) for i in epochs.items(epoch))


def test_thirds_are_the_document_s_epochs():
    captions = captions_of(*range(1, 31))
    epochs = Epochs(captions, TrainingOptions(epochs=30, curriculum="thirds"), DataOptions())
    found = [longest(epochs, epoch, captions) for epoch in range(30)]
    assert found == [10] * 10 + [20] * 10 + [30] * 10  # epochs 1-10, 11-20, 21 on
    assert {len(epochs.items(epoch)) for epoch in range(30)} == {30}  # the budget stays


def test_competence_follows_the_paper_and_ends_with_all():
    captions = captions_of(*range(1, 101))
    options = TrainingOptions(epochs=20, curriculum="competence")
    epochs = Epochs(captions, options, DataOptions())
    limits = [epochs.longest(epoch) for epoch in range(20)]
    assert limits[0] == 10
    assert limits == sorted(limits)
    assert limits[10:] == [100] * 10
    assert limits[5] == math.ceil(100 * math.sqrt(0.25 * (1 - 0.01) / 0.5 + 0.01))
    assert competence(1.0) == 1


def test_without_a_curriculum_each_clip_comes_once_with_all_captions_in_time():
    captions = [[f"{clip} {n}" for n in range(5)] for clip in range(8)]
    epochs = Epochs(captions, TrainingOptions(epochs=60), DataOptions())
    seen: Counter[tuple[int, int]] = Counter()
    orders = set()
    for epoch in range(60):
        items = epochs.items(epoch)
        assert sorted(item.clip for item in items) == list(range(8))
        orders.add(tuple(item.clip for item in items))
        seen.update((item.clip, item.caption) for item in items)
    assert len(seen) == 40  # 4.3: all five captions of every clip
    assert len(orders) > 50
    assert epochs.items(3) == Epochs(captions, TrainingOptions(epochs=60), DataOptions()).items(3)


SKEWED = [["a person walking"]] * 90 + [["an alarm clock beeps"]] * 10


def test_kinds_are_what_a_caption_is_about_most_commonly():
    kinds = kinds_of(SKEWED)
    assert Counter(kinds) == {"walking": 90, kinds[-1]: 10}
    assert kinds[-1] in {"alarm", "clock", "beeps"}


@pytest.mark.parametrize(("power", "ratio"), [(0.0, 9), (0.5, 3), (1.0, 1)])
def test_class_weights_even_out_by_the_power(power, ratio):
    weights = class_weights(kinds_of(SKEWED), power)
    assert weights.sum() == pytest.approx(1)
    assert weights[:90].sum() / weights[90:].sum() == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("way", "common", "rare"),
    [("weights", 50, 50), ("oversampling", 90, 90), ("undersampling", 10, 10)],
)
def test_three_ways_of_balance(way, common, rare):
    options = DataOptions(balance=1.0, balance_by=way)
    counts = [0, 0]
    covered = set()
    for seed in range(20):
        chosen = balanced(kinds_of(SKEWED), options, np.random.default_rng(seed))
        counts[0] += int((chosen < 90).sum())
        counts[1] += int((chosen >= 90).sum())
        covered |= set(chosen.tolist())
        if way == "undersampling":
            assert len(set(chosen.tolist())) == 20  # nothing twice
    assert counts[0] / 20 == pytest.approx(common, abs=4)
    assert counts[1] / 20 == pytest.approx(rare, abs=4)
    assert len(covered) > 80  # what is dropped changes from epoch to epoch


def test_processes_share_each_batch():
    epochs = Epochs(captions_of(*range(1, 21)), TrainingOptions(batch_size=6), DataOptions())
    whole = list(Batches(epochs, 6))
    assert [len(part.items) for part in whole] == [6, 6, 6]
    for rank in (0, 1):
        parts = list(Batches(epochs, 6, rank, 2))
        assert [part.items for part in parts] == [part.items for part in whole]
        assert {(part.rank, part.world) for part in parts} == {(rank, 2)}


# --- 4.2 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caption", "least", "kept"),
    [
        ("A sound is heard.", 1, False),
        ("Someone is making noise in the background", 1, False),
        ("", 1, False),
        ("The sound of rain", 1, True),
        ("The sound of rain", 2, False),
        ("Rain falls on a roof", 3, True),
    ],
)
def test_generic_captions_name_nothing(caption, least, kept):
    assert is_specific(caption, least) is kept


# --- 5.1 to 5.3 --------------------------------------------------------------------------------


def test_dropout_reaches_encoder_and_decoder():
    off = without_fixes(TINY)
    on = turn_on(off, "5.1")
    torch.manual_seed(0)
    for setup, same in ((off, True), (on, False)):
        captioner = OwnCaptioner(setup.model, [*SPECIAL, *WORDS])
        captioner.module.train()
        rates = {name: m.p for name, m in captioner.module.named_modules() if hasattr(m, "p")}
        assert any(name.startswith("encoder") for name in rates)
        assert any(name.startswith("decoder") for name in rates)
        assert all((rate == 0) is same for rate in rates.values())
        batch = torch.randn(4, 20, 64), torch.tensor([20, 20, 20, 20])
        first, second = (captioner.module.encoder(*batch)[0] for _ in range(2))
        assert torch.equal(first, second) is same


def test_weight_decay_shrinks_and_clipping_limits_what_a_step_does(monkeypatch):
    """With a loss that has no gradient AdamW only decays; a clipped step has the clip's norm."""
    from benchmarks.zoo.noise_clips import made_clips
    from capfix_cli.training.training_loop import new_captioner, train

    clips = made_clips(8)
    plain = losses.token_losses

    def trained(scale: float, **options: float) -> tuple[dict, dict]:
        monkeypatch.setattr(losses, "token_losses", lambda *given: plain(*given) * scale)
        setup = TrainingConfig(
            TINY, TrainingOptions(epochs=1, batch_size=8, learning_rate=0.1, **options)
        )
        captioner = new_captioner(TINY, clips, 0)
        before = copy.deepcopy(captioner.module.state_dict())
        train(captioner, clips, setup, captioner.encode_features)
        return before, captioner.module.state_dict()

    before, after = trained(0.0, weight_decay=0.5)
    name = "decoder.out.weight"
    torch.testing.assert_close(after[name], before[name] * (1 - 0.1 * 0.5))
    before, after = trained(0.0, weight_decay=0.0)
    torch.testing.assert_close(after[name], before[name])

    norms = []
    real = torch.nn.utils.clip_grad_norm_

    def spy(parameters, limit, **more):
        norm = real(parameters, limit, **more)
        left = math.sqrt(sum(float(p.grad.square().sum()) for p in parameters))
        norms.append((float(norm), left))
        return norm

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    trained(1000.0, gradient_clip=5.0)
    assert norms[0][0] > 5
    assert norms[0][1] == pytest.approx(5, rel=1e-3)
    norms.clear()
    trained(1000.0, gradient_clip=0.0)
    assert not norms
