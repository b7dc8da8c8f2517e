"""Measures: equal to their references, true to metamorphic facts, right on real outputs."""

from __future__ import annotations

import itertools
import random

import pytest
from conftest import real_data
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from capfix_cli.captions.caption_layouts import read_captions
from capfix_cli.captions.reference_file import match_references, read_references
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.text import split_words
from capfix_cli.measures.caption_tokens import tokenise
from capfix_cli.measures.intervals import bootstrap_interval
from capfix_cli.measures.measure_table import (
    caption_counts,
    cuts,
    expected_distinct,
    judge_diversity,
    measure_captions,
)
from capfix_cli.measures.repetition import repeating
from capfix_cli.measures.self_bleu import self_bleu_scores
from capfix_cli.schemas.clip_records import ClipCaption

words = st.lists(st.sampled_from("abcde"), min_size=1, max_size=8)


@given(st.lists(words, min_size=2, max_size=12))
@pytest.mark.filterwarnings("ignore:.*hypothesis contains 0 counts.*:UserWarning")
def test_self_bleu_equals_nltk(captions):
    smooth = SmoothingFunction().method1
    expected = [
        sentence_bleu(captions[:i] + captions[i + 1 :], caption, smoothing_function=smooth)
        for i, caption in enumerate(captions)
    ]
    assert self_bleu_scores(captions) == pytest.approx(expected, abs=1e-12)


def as_captions(texts):
    return [ClipCaption(f"{i}.wav", text) for i, text in enumerate(texts)]


def test_one_caption_for_everything():
    table = measure_captions(as_captions(["a dog barks at night"] * 30))
    assert table["caption_entropy"].value == 0
    assert table["self_bleu_4"].value == pytest.approx(1)
    assert table["distinct_captions"].value == pytest.approx(1 / 30)
    assert table["top_1_share"].value == 1
    assert table["vocabulary"].value == 5
    assert table["length"].value == 5


def test_nothing_in_common():
    texts = [" ".join(f"w{i}x{j}" for j in range(5)) for i in range(30)]
    table = measure_captions(as_captions(texts))
    for name in ("caption_entropy", "distinct_captions", "distinct_1", "distinct_2", "distinct_3"):
        assert table[name].value == pytest.approx(1), name
    assert table["self_bleu_4"].value == 0
    assert table["top_10_share"].value == pytest.approx(1 / 3)


def test_order_does_not_matter():
    texts = [f"a {kind} {n % 7}" for n, kind in enumerate(["dog", "bell", "rain"] * 10)]
    forth, back = measure_captions(as_captions(texts)), measure_captions(as_captions(texts[::-1]))
    assert {n: m.value for n, m in forth.items()} == pytest.approx(
        {n: m.value for n, m in back.items()}
    )
    for name, measure in forth.items():
        assert measure.low <= measure.value + 1e-9, name
        assert measure.high >= measure.value - 1e-9, name


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("a dog a dog barks", True),
        ("the the end", True),
        ("rain falls and then rain falls", False),
        ("", False),
        ("one two three four one two three four", True),
    ],
)
def test_repeats(text, repeats):
    assert repeating(tokenise([text])).tolist() == [repeats]


def test_rarefaction_equals_the_average_over_all_subsets():
    captions = list("aaabbcdd")
    for size in (1, 3, 5, 8):
        subsets = list(itertools.combinations(captions, size))
        mean = sum(len(set(some)) for some in subsets) / len(subsets) / size
        assert expected_distinct(caption_counts(captions), size) == pytest.approx(mean)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator = random.Random(0)
    inside = 0
    for trial in range(100):
        values = [generator.gauss(1.0, 1.0) for _ in range(60)]
        low, high = bootstrap_interval(values, trial)
        inside += low <= 1.0 <= high
    assert 86 <= inside <= 100


def test_cuts_meet_the_bands_that_they_come_from():
    # SCIENCE's bands at N=100: collapsed <= .31 and .63, partial to .61 and .85, healthy from
    # .83 and .92; healthy captioners at smaller N: 1.00 at 20, .97 at 50.
    distinct, entropy = cuts(100)
    assert 0.61 < distinct < 0.83
    assert 0.85 < entropy < 0.92
    assert distinct <= cuts(50)[0] < 0.97
    assert cuts(50)[0] <= cuts(20)[0] < 1.00


def mixed(share, count=200):
    """A favourite caption for a share of the clips, and different ones for the others."""
    return [
        "a dog barks" if i < share * count else f"sound {i} of kind {i * 7 % 90}"
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("share", "differ"), [(0.0, True), (0.1, True), (0.5, False), (0.9, False)]
)
def test_diversity_is_judged_by_the_favourite_s_share(share, differ):
    for count in (20, 50, 100, 400):
        assert judge_diversity(mixed(share, count)).differ is differ, count


def test_references_of_a_small_world_lower_the_cut():
    ten = [f"sound of kind {i % 10}" for i in range(100)]
    assert not judge_diversity(ten).differ
    assert judge_diversity(ten, [[text] for text in ten]).differ


# (file, clips, distinct captions, differ): counts of the published outputs themselves.
REAL = [
    ("aac_metrics_example_1.csv", 464, 20, False),
    ("aac_metrics_example_2.csv", 912, 628, True),
    ("conette_audiocaps_test.csv", 912, 538, True),
    ("whisper_aac_audiocaps_test_greedy.csv", 885, 720, True),
]


@pytest.mark.parametrize(("name", "clips", "distinct", "differ"), REAL)
def test_real_outputs_are_judged_right(name, clips, distinct, differ):
    texts = [caption.text for caption in read_captions(real_data("captions") / name).captions]
    assert len(texts) == clips
    assert round(measure_captions(as_captions(texts))["distinct_captions"].value * clips) == (
        pytest.approx(distinct, abs=2)
    )
    assert judge_diversity(texts).differ is differ


def test_captions_files_are_read_in_both_forms(tmp_path):
    (tmp_path / "a.csv").write_text('file_name,caption_1,caption_2\nx.wav,"one, two",\n')
    (tmp_path / "a.jsonl").write_text('{"file_name": "x.wav", "caption_1": "one, two"}\n\n')
    for name in ("a.csv", "a.jsonl"):
        references = read_references(tmp_path / name)
        assert references == {"x.wav": ["one, two"]}
        assert match_references(references, ["deep/x.wav"], name) == {"deep/x.wav": ["one, two"]}
        with pytest.raises(CapfixError, match="None of the 1 clips"):
            match_references(references, ["y.wav"], name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "name,text\nx,y\n", "has no column of captions; it has name, text"),
        ("a.csv", "caption_1\na dog\n", "no column that names the clip"),
        ("a.csv", "file_name,caption_1\n", "has a header but no rows"),
        ("a.csv", "file_name,caption_1\nx.wav,\n", "has no captions"),
        ("a.jsonl", "not json\n", "line 1, is not JSON"),
        ("a.jsonl", "[1]\n", "item 1 is not an object"),
        ("missing.csv", None, "no captions file"),
    ],
)
def test_captions_files_that_cannot_be_used_are_explained(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CapfixError, match=message) as caught:
        read_references(tmp_path / name)
    assert caught.value.hint


@given(st.lists(st.text(alphabet="aB é'-,雨犬कुत्ताที่é١_\0\ud800", max_size=12), max_size=6))
def test_captions_are_split_at_once_as_one_by_one(texts):
    tokens = tokenise(texts)
    words = [tokens.vocabulary[place] for place in tokens.ids]
    assert words == [word for text in texts for word in split_words(text)]
    assert tokens.lengths.tolist() == [len(split_words(text)) for text in texts]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("कुत्ता भौंकता है", ["कुत्ता", "भौंकता", "है"]),  # vowel signs are marks, not ends of words
        ("собака лает", ["собака", "лает"]),
        ("一只狗在叫。", ["一", "只", "狗", "在", "叫"]),
        ("犬がほえる dog", ["犬", "が", "ほ", "え", "る", "dog"]),
    ],
)
def test_words_of_other_scripts(text, words):
    assert split_words(text) == words
