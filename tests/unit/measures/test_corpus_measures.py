"""Corpus measures: shards merged equal the whole, order is nothing, bounds and intervals hold."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calibration.corpora import DRAWERS, counted_of
from capfix_cli.core.errors import CapfixError
from capfix_cli.measures.corpus import Corpus, Counted
from capfix_cli.measures.corpus_measures import measure_corpus
from capfix_cli.measures.novelty import novelty, training_corpus
from capfix_cli.measures.pairwise_bleu import pairwise_bleu
from capfix_cli.measures.self_bleu import self_bleu_scores
from capfix_cli.measures.type_token_curve import type_token_curve
from capfix_cli.measures.within_clip import within_clip_scores, within_clips

texts = st.lists(
    st.lists(st.sampled_from(["a", "dog", "barks", "été", "雨", "it's"]), max_size=9).map(" ".join),
    min_size=2,
    max_size=40,
)
# Never above 1; the others are counts, ratios or sums.
SHARES = (
    *(f"distinct_{n}" for n in range(1, 5)),
    *(f"self_bleu_{n}" for n in range(1, 5)),
    *("distinct_captions", "caption_entropy", "top_1_share", "top_10_share", "repeats", "no_end"),
    "pairwise_bleu_4",
)


def count(captions, ended=None) -> Counted:
    corpus = Corpus()
    corpus.update(captions, ended)
    return corpus.counted()


@given(texts, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_bounds_order_and_finite_intervals(captions, shuffler):
    table = measure_corpus(count(captions))
    for name, measure in table.items():
        assert math.isfinite(measure.value), name
        assert measure.low <= measure.value + 1e-9, name
        assert measure.high >= measure.value - 1e-9, name
        assert measure.low >= 0, name
        assert f"N:{len(captions)}|" in measure.source
        assert "|version:" in measure.source
        if name in SHARES:
            assert measure.high <= 1, name
    assert table["vendi_score"].value <= len(captions) + 1e-6
    shuffler.shuffle(captions)
    assert measure_corpus(count(captions)) == table


@given(texts, st.data())
@settings(max_examples=40, deadline=None)
def test_shards_that_are_merged_and_saved_equal_the_whole(tmp_path_factory, captions, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(captions)), max_size=3)))
    parts = [captions[a:b] for a, b in itertools.pairwise([0, *cuts, len(captions)])]
    path = tmp_path_factory.mktemp("shards") / "part.npz"
    whole = Corpus()
    for part in data.draw(st.permutations(parts)):
        shard = Corpus()
        shard.update(part, [True] * len(part))
        shard.save(path)
        whole.merge(Corpus.load(path))
    assert measure_corpus(whole.counted()) == measure_corpus(
        count(captions, [True] * len(captions))
    )


def test_ends_are_counted_over_shards():
    one, other = Corpus(), Corpus()
    one.update(["a dog", "rain"], [True, False])
    other.update(["a dog"], [False])
    one.merge(other)
    assert measure_corpus(one.counted())["no_end"].value == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "damage",
    [b"", b"not a file of counts", b"PK\x03\x04 cut short"],
)
def test_a_file_that_is_no_corpus(tmp_path, damage):
    path = tmp_path / "counts.npz"
    path.write_bytes(damage)
    with pytest.raises(CapfixError, match="counted captions"):
        Corpus.load(path)


def test_arrays_that_do_not_fit_together_are_refused(tmp_path):
    path = tmp_path / "counts.npz"
    corpus = Corpus()
    corpus.update(["a dog barks", "rain"])
    corpus.save(path)
    with np.load(path) as file:
        data = dict(file)
    for name, wrong in (
        ("ids", data["ids"] + 9),
        ("counts", -data["counts"]),
        ("offsets", data["offsets"][:-1]),
        ("words", data["words"][:-1]),
    ):
        np.savez(path, **{**data, name: wrong})
        with pytest.raises(CapfixError, match="do not fit together"):
            Corpus.load(path)


def brute(captions):
    """Self-repetition and distinct-n by their definitions, caption by caption."""
    split = [text.split() for text in captions]
    grams = [
        [[tuple(words[i : i + n]) for i in range(len(words) - n + 1)] for words in split]
        for n in range(1, 5)
    ]
    distinct = [
        len({gram for row in rows for gram in row}) / max(1, sum(map(len, rows))) for rows in grams
    ]
    sets = [set(row) for row in grams[3]]
    repetition = np.mean(
        [math.log1p(sum(sum(gram in other for other in sets) - 1 for gram in own)) for own in sets]
    )
    return distinct, repetition


def test_counts_equal_their_definitions():
    generator = random.Random(1)
    captions = [" ".join(generator.choices("abcdef", k=generator.randint(0, 9))) for _ in range(80)]
    table = measure_corpus(count(captions))
    distinct, repetition = brute(captions)
    for n, value in enumerate(distinct, 1):
        assert table[f"distinct_{n}"].value == pytest.approx(value, abs=1e-12)
    assert table["self_repetition"].value == pytest.approx(repetition, abs=1e-12)
    split = [text.split() for text in captions]
    assert table["self_bleu_4"].value == pytest.approx(np.mean(self_bleu_scores(split)), abs=1e-12)
    pairs = [self_bleu_scores([one, other]) for one, other in itertools.combinations(split, 2)]
    assert table["pairwise_bleu_4"].value == pytest.approx(np.mean(pairs), abs=1e-12)


def test_a_sketch_of_pairs_lies_within_its_interval():
    counted = counted_of(DRAWERS["chain"](np.random.default_rng(3), 400))
    exact, _, pairs = pairwise_bleu(counted, 0)
    assert pairs == 400 * 399 / 2
    inside = 0
    for seed in range(40):
        value, half, pairs = pairwise_bleu(counted, seed, most=2_000)
        assert pairs <= 2_000
        inside += abs(value - exact) <= half
    assert inside >= 36


@pytest.mark.slow
@pytest.mark.parametrize("way", list(DRAWERS))
def test_intervals_hold_the_true_value(way):
    """60 draws of 100 captions each; fewer than 50 hits at .95 have a chance under 1 in 1,000."""
    draws = [
        measure_corpus(counted_of(DRAWERS[way](np.random.default_rng([seed, 100]), 100)))
        for seed in range(60)
    ]
    for name in ("distinct_2", "vocabulary", "self_bleu_4", "caption_entropy", "self_repetition"):
        true = np.mean([draw[name].value for draw in draws])
        held = sum(draw[name].low <= true <= draw[name].high for draw in draws)
        assert held >= 50, (name, held)
    widths = [draw["distinct_2"].high - draw["distinct_2"].low for draw in draws]
    spread = np.std([draw["distinct_2"].value for draw in draws])
    assert np.mean(widths) < 2 * 1.96 * spread * 1.5, "intervals are not wider than needed"


def test_the_type_token_curve_is_rarefaction():
    captions = ["a dog barks", "a dog", "rain falls", "a bell rings", "rain", "wind"]
    curve = type_token_curve(count(captions))
    assert [point.captions for point in curve] == [1, 3, 6]
    for point in curve:
        draws = list(itertools.combinations(captions, point.captions))
        types = np.mean([len({word for text in draw for word in text.split()}) for draw in draws])
        assert point.types == pytest.approx(types)
        assert point.low <= point.types <= point.high


def test_novelty_counts_captions_that_training_has_not():
    said = count(["A dog barks.", "a dog barks", "rain", "wind"])
    table = novelty(said, training_corpus(["a dog barks", "WIND!", "thunder"]))
    assert table["novelty"].value == pytest.approx(1 / 4)
    assert table["novelty_of_distinct"].value == pytest.approx(1 / 3)
    assert novelty(said, training_corpus([]))["novelty"].value == 1


def test_within_a_clip():
    clips = [["a dog barks", "a dog barks"], ["a dog barks", "rain falls hard", "wind"]]
    scores = within_clip_scores(clips)
    assert scores["div_1"] == pytest.approx([3 / 6, 7 / 7])
    assert scores["div_2"] == pytest.approx([2 / 6, 4 / 7])
    assert scores["mbleu_4"][1] == 0
    assert scores["mbleu_4"][0] == pytest.approx(
        np.mean(self_bleu_scores([c.split() for c in clips[0]]))
    )
    table = within_clips([*clips, ["alone"]])
    assert table["div_1"].value == pytest.approx(0.75)
    with pytest.raises(CapfixError, match="two captions"):
        within_clips([["alone"], ["so is this"]])
