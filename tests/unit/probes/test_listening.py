"""Listening: 0 bits for the deaf, log2 K for the attentive, and right against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.zoo import toys
from capfix_cli.decoding.decode import EncodedBatch, decode_all
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions
from capfix_cli.probes.listening import bound_scores, contrast_sets, information_bound, listen
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.clip_records import ClipCaption

NAMES = [f"{n:02d}.wav" for n in range(toys.CLIPS)]


def scorer(rule):
    chunks = [
        EncodedBatch(
            tuple(NAMES[start : start + 8]), torch.arange(start, min(start + 8, toys.CLIPS))
        )
        for start in range(0, toys.CLIPS, 8)
    ]
    return Scorer(toys.Toy(rule), chunks)


def greedy(judge):
    return list(decode_all(judge.captioner, judge.chunks, GREEDY, 0))


def test_a_deaf_captioner_carries_nothing_however_it_is_sampled():
    judge = scorer(toys.deaf)
    for options in (GREEDY, DecodingOptions(do_sample=True, temperature=1.5)):
        captions = list(decode_all(judge.captioner, judge.chunks, options, 0))
        heard = listen(captions, judge, 0)
        assert heard.bits == pytest.approx(0, abs=1e-6)
        assert heard.identification == pytest.approx(1 / 21, abs=1e-6)
        assert heard.chance == 1 / 21


def test_an_attentive_captioner_reaches_the_ceiling():
    judge = scorer(toys.healthy)
    heard = listen(greedy(judge), judge, 0)
    assert heard.ceiling_bits == pytest.approx(math.log2(21))
    assert heard.bits == pytest.approx(heard.ceiling_bits, abs=0.05)
    assert heard.identification == 1
    assert heard.low <= heard.bits <= heard.high


def test_the_bound_is_its_formula():
    judge = scorer(toys.bland_until_sampled)
    captions = {c.file_name: (*c.tokens, toys.EOS) for c in greedy(judge)}
    bound = information_bound(captions, judge, 5)
    sets = contrast_sets(NAMES, 21, 5)
    for place, name in enumerate(sorted(captions)):
        odds = []
        for other in sets[name]:
            memory = torch.tensor([NAMES.index(other)])
            first = judge.captioner.logits(torch.tensor([[1]]), memory).log_softmax(1)
            end = judge.captioner.logits(torch.tensor([[1, 5]]), memory).log_softmax(1)
            odds.append(math.exp(float(first[0, captions[name][0]]) + float(end[0, toys.EOS])))
        assert sets[name][0] == name
        expected = math.log2(odds[0] / np.mean(odds))
        assert bound.raw_bits[place] == pytest.approx(expected, abs=1e-3)


def noisy_scores(strength, seed=0, clips=160):
    """Scores of captions whose own clip stands out by ``strength`` deviations of the noise."""
    scores = np.random.default_rng(seed).standard_normal((clips, 21))
    scores[:, 0] += strength
    return scores


@pytest.mark.parametrize("factor", [1 / 8, 1.0, 16.0, 64.0])
def test_how_sure_a_captioner_is_does_not_change_what_it_hears(factor):
    plain, scaled = bound_scores(noisy_scores(2.0)), bound_scores(factor * noisy_scores(2.0))
    assert scaled.bits.mean() == pytest.approx(plain.bits.mean(), abs=1e-9)
    assert scaled.temperature == pytest.approx(factor * plain.temperature)
    assert scaled.identified.mean() == plain.identified.mean()
    # The textbook critic calls the surest one deafer than deaf.
    assert (scaled.raw_bits.mean() < 0) == (factor > 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_deaf_gain_nothing_from_a_fitted_critic(seed):
    for factor in (1.0, 100.0):
        bound = bound_scores(factor * noisy_scores(0.0, seed))
        assert bound.bits.mean() < 0.05
        assert abs(bound.above.mean() - 0.5) < 0.05


def test_the_bound_is_below_the_information_that_there_is():
    # Two equally likely kinds of clip, told apart without error: one bit and no more.
    scores = np.random.default_rng(0).integers(0, 2, (400, 21)) * 50.0
    scores[:, 0] = 50.0
    assert bound_scores(scores).bits.mean() == pytest.approx(1.0, abs=0.1)


def test_impossible_captions_have_scores():
    scores = noisy_scores(3.0)
    scores[:, 5] = -np.inf
    assert np.isfinite(bound_scores(scores).bits).all()
    assert bound_scores(np.full((20, 21), -np.inf)).bits.mean() == pytest.approx(0, abs=1e-9)


def test_contrast_sets_try_every_clip_equally_often():
    sets = contrast_sets(NAMES, 21, 0)
    tried = [other for others in sets.values() for other in others]
    assert all(tried.count(name) == 21 for name in NAMES)
    assert all(len(set(others)) == 21 for others in sets.values())
    assert contrast_sets(NAMES[:20], 21, 0)["00.wav"][0] == "00.wav"
    assert len(contrast_sets(NAMES[:20], 21, 0)["00.wav"]) == 20


def test_captions_of_other_clips_are_below_zero_and_said_so():
    judge = scorer(toys.healthy)
    captions = greedy(judge)
    swapped = [
        ClipCaption(c.file_name, other.text, other.tokens, other.logprob, True)
        for c, other in zip(captions, captions[1:] + captions[:1], strict=True)
    ]
    heard = listen(swapped, judge, 0)
    assert heard.bits == heard.low == 0
    assert "shown as 0" in heard.note


def test_references_are_scored_and_the_lower_decides():
    judge = scorer(toys.healthy)
    own = [f"word{toys.COMMON + toys.VARIANTS * n}" for n in range(toys.CLIPS)]
    right = {name: [own[n]] for n, name in enumerate(NAMES)}
    wrong = {name: [own[(n + 3) % toys.CLIPS]] for n, name in enumerate(NAMES)}
    good = listen(greedy(judge), judge, 0, right)
    assert good.reference_bits == pytest.approx(good.ceiling_bits, abs=0.05)
    bad = listen(greedy(judge), judge, 0, wrong)
    assert bad.bits == good.bits
    assert bad.deciding_bits == bad.reference_bits == 0
    assert listen(greedy(judge), judge, 0, {"00.wav": ["zebra"]}).reference_bits is None


def test_length_of_captions_in_a_batch_does_not_matter():
    judge = scorer(toys.healthy)
    pairs = [((3,), "00.wav"), ((3, 4, 5, 2), "00.wav"), ((3, 2), "00.wav")]
    together = judge.log_probabilities(pairs)
    alone = [float(scorer(toys.healthy).log_probabilities([pair])[0]) for pair in pairs]
    assert together.tolist() == pytest.approx(alone, abs=1e-4)


def test_references_of_a_few_clips_do_not_decide():
    judge = scorer(toys.healthy)
    told = {name: [f"word{toys.COMMON}"] for name in NAMES[:5]}
    found = listen(greedy(judge), judge, 0, told)
    assert found.reference_bits is None
    assert found.deciding_bits == found.bits
    assert f"fewer than {toys.CLIPS // 2} clips" in found.note
