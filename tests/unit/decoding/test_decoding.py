"""Decoding: filters do what they say, clips do not disturb each other, seeds decide everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.zoo import toys
from capfix_cli.captioners.base import Captioner
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding import logit_warpers as filters
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions, options_from_dict

SAMPLING = DecodingOptions(do_sample=True, temperature=0.8, top_p=0.9)


class Chain(Captioner):
    """The next word depends on the last word and on the clip: [clips, V, V] log-probabilities."""

    sample_rate, bos_id, eos_id, max_length = 8_000, 0, 1, 5

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.vocabulary = [f"w{i}" for i in range(table.shape[2])]

    def encode(self, waveforms, lengths):
        return torch.arange(len(lengths))

    def logits(self, prefix, memory):
        return self.table[memory, prefix[:, -1]]


def chain(seed, clips=4, words=5):
    generator = torch.Generator().manual_seed(seed)
    return Chain((torch.randn(clips, words, words, generator=generator) * 2).log_softmax(-1))


def chunk_of(clips):
    return EncodedBatch(tuple(f"clip{i}" for i in range(clips)), torch.arange(clips))


scores = st.lists(st.floats(-20, 20), min_size=2, max_size=30).map(lambda row: torch.tensor([row]))


@given(scores, st.integers(1, 40))
def test_top_k_keeps_k_words_or_ties(row, k):
    kept = filters.keep_top_k(row, k)
    assert int(kept.isfinite().sum()) >= min(k, row.shape[1])
    least = row[kept.isfinite()].min()
    assert int((row > least).sum()) < k


@given(scores, st.floats(0.01, 0.999))
def test_top_p_keeps_the_fewest_words_that_reach_p(row, p):
    kept = filters.keep_top_p(row, p).isfinite()
    odds = row.double().softmax(1)
    held = float((odds * kept).sum())
    assert held >= p - 1e-4
    assert held - float(odds[kept].min()) < p + 1e-4


def test_filters_match_transformers_definitions_in_order():
    row = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log()
    out = filters.apply(row, DecodingOptions(do_sample=True, temperature=0.5, top_k=3, top_p=0.9))
    # Squared and renormalised over three: .714, .179, .064 of .957: .746, .187, .067.
    assert out.isfinite().tolist() == [[True, True, False, False]]


def test_contrast_is_its_formula_and_its_cut():
    heard = torch.tensor([[0.5, 0.4, 0.09, 0.01]]).log()
    unheard = torch.tensor([[0.7, 0.1, 0.199, 0.001]]).log()
    out = filters.contrast(heard, unheard, 1.0, 0.1)
    torch.testing.assert_close(out[0, :3], (2 * heard - unheard)[0, :3])
    assert out[0, 3] == -torch.inf
    assert int(out.argmax()) == 1


def test_scores_that_are_no_numbers_end_the_caption():
    bad = torch.tensor([[torch.nan, torch.nan, torch.nan], [torch.nan, 1.0, torch.inf]])
    clean, top = filters.finite_or_end(bad, eos_id=0)
    assert top.word.tolist() == [0, 2]
    assert clean.argmax(1).tolist() == [0, 2]
    assert clean[1, 0] == -torch.inf


@pytest.mark.parametrize("options", [GREEDY, SAMPLING, DecodingOptions(num_beams=3)])
def test_a_clip_decodes_alike_alone_and_in_company(options):
    captioner = chain(0, clips=6, words=9)
    together = decode(captioner, chunk_of(6), options, seed=3)
    for row, caption in enumerate(together):
        alone = decode(
            captioner, EncodedBatch((caption.file_name,), torch.tensor([row])), options, seed=3
        )
        assert alone[0].tokens == caption.tokens
        assert alone[0].logprob == pytest.approx(caption.logprob, abs=1e-4)


def test_the_seed_decides_every_draw():
    captioner = chain(1, clips=6, words=9)
    runs = [decode(captioner, chunk_of(6), SAMPLING, seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_draws_follow_the_distribution():
    odds = torch.tensor([0.0, 0.0, 0.1, 0.2, 0.7])
    table = odds.log().expand(1, 5, 5)
    captioner = Chain(table)
    captioner.max_length = 1
    names = tuple(f"clip{i}" for i in range(20_000))
    chunk = EncodedBatch(names, torch.zeros(20_000, dtype=torch.long))
    drawn = decode(captioner, chunk, DecodingOptions(do_sample=True), 0)
    counts = torch.bincount(torch.tensor([c.tokens[0] for c in drawn]), minlength=5) / 20_000
    torch.testing.assert_close(counts, odds, atol=0.015, rtol=0)


def test_greedy_follows_the_likeliest_word_to_its_end():
    captioner = chain(2)
    for row, caption in enumerate(decode(captioner, chunk_of(4), GREEDY, 0)):
        word, expected, total = 0, [], 0.0
        for _ in range(captioner.max_length):
            following = int(captioner.table[row, word].argmax())
            total += float(captioner.table[row, word, following])
            word = following
            if word == captioner.eos_id:
                break
            expected.append(word)
        assert list(caption.tokens) == expected
        assert caption.ended == (word == captioner.eos_id)
        assert caption.logprob == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_wide_beam_search_finds_the_likeliest_of_all_captions(seed):
    captioner = chain(seed, clips=2)
    captioner.max_length = 4
    found = decode(captioner, chunk_of(2), DecodingOptions(num_beams=60, length_penalty=0.0), 0)
    for row, caption in enumerate(found):
        odds = captioner.table[row]

        def score(path, odds=odds):
            # A caption that reaches the limit is cut there: it pays for no end.
            whole = (0, *path) if len(path) == 4 else (0, *path, 1)
            return sum(float(odds[a, b]) for a, b in itertools.pairwise(whole))

        every = (path for n in range(5) for path in itertools.product((0, 2, 3, 4), repeat=n))
        best = max(every, key=score)
        assert caption.tokens == best
        assert caption.logprob == pytest.approx(score(best), abs=1e-4)


def test_finished_clips_leave_the_batch():
    class Counting(Chain):
        rows: tuple[int, ...] = ()

        def logits(self, prefix, memory):
            self.rows += (len(memory),)
            return super().logits(prefix, memory)

    # Clip n ends after n words: from word n + 2 on only the end is likely.
    table = torch.full((4, 8, 8), -9.0)
    for clip in range(4):
        word = 0
        for step in range(clip):
            table[clip, word, 2 + step] = 0.0
            word = 2 + step
        table[clip, word, 1] = 0.0
    captioner = Counting(table)
    captions = decode(captioner, chunk_of(4), GREEDY, 0)
    assert [len(caption.tokens) for caption in captions] == [0, 1, 2, 3]
    assert captioner.rows == (4, 3, 2, 1)


def test_contrast_brings_out_what_the_clip_says():
    captioner = toys.Toy(toys.needs_contrast)
    chunk = EncodedBatch(tuple(map(str, range(12))), torch.arange(12))
    assert {c.text for c in decode(captioner, chunk, GREEDY, 0)} == {"word0"}
    heard = decode(captioner, chunk, DecodingOptions(contrast=1.0), 0)
    assert [c.text for c in heard] == [f"word{toys.COMMON + toys.VARIANTS * n}" for n in range(12)]


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(0, 3))
def test_rows_are_taken_from_any_nesting(rows, first):
    tensor = torch.arange(24).view(6, 2, 2)
    index = torch.arange(first, first + rows) % 6
    taken = nested.select({"a": (tensor, [tensor]), "b": None, "c": 3}, index)
    assert torch.equal(taken["a"][0], tensor[index])
    assert torch.equal(taken["a"][1][0], tensor[index])
    assert (taken["b"], taken["c"]) == (None, 3)


def test_rows_of_one_form_are_joined_and_others_are_not():
    tensor = torch.arange(24.0).view(6, 2, 2)

    def memory(rows, width=2, extra="a", scale=1.0):
        frames = tensor[rows, :width]
        return {"frames": (frames, [frames.sum((1, 2))]), "scale": torch.tensor(scale), "b": extra}

    joined = nested.join([memory(slice(0, 2)), memory(slice(2, 6))])
    assert torch.equal(joined["frames"][0], tensor)
    assert torch.equal(joined["frames"][1][0], tensor.sum((1, 2)))
    assert (joined["scale"], joined["b"]) == (torch.tensor(1.0), "a")
    first = memory(slice(0, 2))
    for other in (
        memory(slice(2, 4), width=1),
        memory(slice(2, 4), extra="c"),
        memory(slice(2, 4), scale=2.0),
        {**memory(slice(2, 4)), "more": 1},
        memory(slice(2, 4), extra=np.ones(2)),
    ):
        assert nested.join([first, other]) is None
    arrays = memory(slice(0, 2), extra=np.ones(2))
    assert nested.join([arrays, memory(slice(2, 4), extra=np.ones(2))]) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0, "do_sample": True}, "temperature is 0"),
        ({"top_p": 1.5, "do_sample": True}, "top-p is 1.5"),
        ({"top_k": -1, "do_sample": True}, "top-k is -1"),
        ({"num_beams": 0}, "num-beams is 0"),
        ({"num_beams": 4, "do_sample": True}, "exclude"),
        ({"temperature": 0.5}, "need sampling"),
        ({"contrast": -1.0}, "contrast is -1"),
        ({"temprature": 0.5}, "no decoding option"),
        ({"top_p": float("nan"), "do_sample": True}, "top-p is nan"),
    ],
)
def test_contradictions_are_refused_before_any_work(options, message):
    with pytest.raises(CapfixError, match=message):
        options_from_dict(options)


def test_options_survive_their_dict():
    assert options_from_dict(SAMPLING.to_dict()) == SAMPLING
    assert GREEDY.to_dict() == {"do_sample": False}
