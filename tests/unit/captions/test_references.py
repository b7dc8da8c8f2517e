"""Measures on references: golden values, metamorphic facts, and what chance would give."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capfix_cli.core.text import split_words
from capfix_cli.measures.cider import CiderD
from capfix_cli.measures.reference_bleu import bleu, bleu_statistics
from capfix_cli.measures.reference_listening import (
    AMONG,
    find_own,
    others,
    own_and_shuffled,
)
from capfix_cli.measures.sentence_counts import count_grams

sentences = st.lists(st.sampled_from("abcde"), max_size=7)
corpora = st.lists(
    st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=2, max_size=6
)


def cider_by_hand(captions, references):
    """CIDEr-D as its definition reads, a dictionary at a time."""

    def grams(words, n):
        found = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        return {gram: found.count(gram) for gram in found}

    scores = []
    for words, texts in zip(captions, references, strict=True):
        total = 0.0
        for n in range(1, 5):
            said = [{g for text in some for g in grams(text, n)} for some in references]

            def weights(some, n=n, said=said):
                return {
                    gram: count
                    * math.log(len(captions) / max(1, sum(gram in each for each in said)))
                    for gram, count in grams(some, n).items()
                }

            own = weights(words)
            for text in texts:
                theirs = weights(text)
                dot = sum(
                    min(own[gram], theirs[gram]) * theirs[gram] for gram in own if gram in theirs
                )
                norm = math.sqrt(
                    sum(v * v for v in own.values()) * sum(v * v for v in theirs.values())
                )
                apart = max(0, len(words) - 1) - max(0, len(text) - 1)
                total += (dot / norm if norm else 0.0) * math.exp(-(apart**2) / 72) / len(texts)
        scores.append(10 * total / 4)
    return scores


@given(corpora)
def test_cider_is_its_definition(corpus):
    captions, references = zip(*corpus, strict=True)
    expected = cider_by_hand(captions, references)
    assert CiderD(captions, references).scores() == pytest.approx(expected, abs=1e-9)


@given(corpora, st.randoms(use_true_random=False))
def test_pairing_with_others_is_cider_on_moved_references(corpus, random):
    captions, references = (list(part) for part in zip(*corpus, strict=True))
    order = list(range(len(corpus)))
    random.shuffle(order)
    paired = CiderD(captions, references).scores(np.array(order))
    moved = CiderD(captions, [references[place] for place in order]).scores()
    assert paired == pytest.approx(moved, abs=1e-9)


def test_cider_of_perfect_and_unrelated_captions():
    captions = [f"sound {n} of kind {n * n}".split() for n in range(10)]
    assert CiderD(captions, [[words] for words in captions]).scores() == pytest.approx([10.0] * 10)
    strange = [[f"x{n}", f"y{n}"] for n in range(10)]
    assert CiderD(captions, [[words] for words in strange]).scores() == pytest.approx([0.0] * 10)


# Counted by hand; tests/parity holds the same code to aac-metrics.
GOLDEN = [
    (
        "a man is speaking",
        ["a man speaks", "someone speaks", "a man is speaking while a bird chirps"],
    ),
    ("rain falls", ["rain is falling hard on a surface"]),
]


def test_bleu_of_known_sentences():
    captions, references = zip(*GOLDEN, strict=True)
    statistics = bleu_statistics(
        [text.split() for text in captions], [[t.split() for t in texts] for texts in references]
    )
    assert statistics[0].tolist() == [4, 3, 2, 1, 4, 3, 2, 1, 4, 3]
    assert statistics[1].tolist() == [1, 0, 0, 0, 2, 1, 0, 0, 2, 7]
    matched = (5 / 6, 3 / 4, 1.0, 1.0)  # of 1- to 4-grams, over both captions
    expected = [math.exp(1 - 10 / 6) * math.prod(matched[:n]) ** (1 / n) for n in range(1, 5)]
    assert bleu(statistics.sum(axis=0)) == pytest.approx(expected, rel=1e-6)


@given(corpora)
def test_bleu_is_bounded_and_its_statistics_add_up(corpus):
    captions, references = zip(*corpus, strict=True)
    whole = bleu_statistics(captions, references)
    parts = [bleu_statistics([c], [r]) for c, r in corpus]
    assert whole == pytest.approx(np.concatenate(parts))
    scores = bleu(whole.sum(axis=0))
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert (scores <= 1 + 1e-9).all()


@given(st.lists(sentences, min_size=1, max_size=6))
def test_counts_are_counts(captions):
    for n, grams in enumerate(count_grams(captions), 1):
        wanted = [max(0, len(words) - n + 1) for words in captions]
        assert np.bincount(grams.row, grams.count, len(captions)).tolist() == wanted


def test_no_clip_is_its_own_other():
    generator = np.random.default_rng(0)
    for total in (2, 3, 20, 101):
        paired = others(total, generator)
        assert sorted(paired) == list(range(total))
        assert not (paired == np.arange(total)).any()


def test_one_caption_for_all_finds_its_clip_by_chance_and_perfect_ones_always():
    references = [[[f"thing{n}", "sounds"]] for n in range(60)]
    same = find_own([["sounds"]] * 60, references)
    assert same == pytest.approx([1 / AMONG] * 60)
    assert find_own([texts[0] for texts in references], references) == pytest.approx([1.0] * 60)
    assert find_own([[]] * 60, references) == pytest.approx([1 / AMONG] * 60)


def test_ties_are_shared_as_the_mean_over_all_draws():
    # 22 clips of two kinds: own, k others as good; every set of 19 of the 21 others counted out.
    references = [[["dog"]]] * 3 + [[[f"x{n}"]] for n in range(19)]
    found = find_own([["dog"]] * 3 + [[f"x{n}"] for n in range(19)], references)
    draws = list(itertools.combinations(range(1, 22), 19))
    expected = sum(1 / (1 + sum(place < 3 for place in draw)) for draw in draws) / len(draws)
    assert found[:3] == pytest.approx([expected] * 3)
    assert found[3:] == pytest.approx([1.0] * 19)


def test_many_clips_are_sampled_without_losing_their_own(monkeypatch):
    from capfix_cli.measures import reference_listening as module

    references = [[[f"thing{n}"]] for n in range(90)]
    captions = [texts[0] if n % 2 else ["thing0"] for n, texts in enumerate(references)]
    whole = find_own(captions, references)
    monkeypatch.setattr(module, "POOL", 50)
    assert find_own(captions, references).mean() == pytest.approx(whole.mean(), abs=0.1)


def test_a_script_without_spaces_is_matched_by_its_characters():
    assert split_words("犬が吠える") == ["犬", "が", "吠", "え", "る"]
    assert split_words("Собака лает!") == ["собака", "лает"]
    captions = [chr(0x4E00 + n) + "吠" for n in range(30)]
    held = own_and_shuffled(
        [split_words(text) for text in captions],
        [[split_words(text), split_words(f"{text}声")] for text in captions],
    )
    assert held.identification == pytest.approx(1.0)
    assert held.people is not None


def test_nothing_shared_with_others_has_no_ratio():
    captions = [[f"x{n}"] for n in range(20)]
    held = own_and_shuffled(captions, [[words] for words in captions])
    assert held.ratio is None
    assert held.ratio_interval(0) is None
