"""Measures against the packages that people use: the same values where definitions agree."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from conftest import real_data
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from benchmarks.calibration.corpora import DRAWERS
from capfix_cli.captions.caption_layouts import read_captions
from capfix_cli.core.text import split_words
from capfix_cli.measures.corpus import Corpus
from capfix_cli.measures.corpus_measures import measure_corpus
from capfix_cli.measures.reference_bleu import bleu, bleu_statistics
from capfix_cli.measures.self_bleu import self_bleu_scores


def drawn(way: str, size: int) -> list[list[str]]:
    tokens = DRAWERS[way](np.random.default_rng(4), size)
    rows = np.split(tokens.ids, tokens.offsets[1:-1])
    return [[tokens.vocabulary[place] for place in row] for row in rows]


def table_of(captions):
    corpus = Corpus()
    corpus.update_words(captions)
    return measure_corpus(corpus.counted())


def by_nltk(captions, order):
    smooth = SmoothingFunction().method1
    return [
        sentence_bleu(
            captions[:i] + captions[i + 1 :],
            caption,
            weights=[1 / order] * order,
            smoothing_function=smooth,
        )
        for i, caption in enumerate(captions)
    ]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("way", ["zipf", "pool"])
def test_self_bleu_equals_nltk(way, order):
    captions = drawn(way, 60)
    expected = by_nltk(captions, order)
    assert self_bleu_scores(captions, order) == pytest.approx(expected, abs=1e-9)
    value = table_of(captions)[f"self_bleu_{order}"].value
    assert value == pytest.approx(np.mean(expected), abs=1e-9)


@pytest.mark.filterwarnings("ignore:.*hypothesis contains 0 counts.*:UserWarning")
def test_self_bleu_equals_nltk_on_real_captions():
    table = read_captions(real_data("captions") / "conette_audiocaps_test.csv")
    captions = [split_words(caption.text) for caption in table.captions[:200]]
    assert self_bleu_scores(captions) == pytest.approx(by_nltk(captions, 4), abs=1e-9)


def test_corpus_bleu_equals_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu")
    captions = [" ".join(words) for words in drawn("pool", 40)]
    references = [
        [" ".join(captions[n].split()[1:]), captions[(n + 3) % 40], f"{captions[n - 1]} again"]
        for n in range(40)
    ]
    streams = [list(stream) for stream in zip(*references, strict=True)]
    theirs = sacrebleu.corpus_bleu(captions, streams, tokenize="none", smooth_method="none")
    ours = bleu(
        bleu_statistics(
            [text.split() for text in captions], [[r.split() for r in row] for row in references]
        ).sum(axis=0)
    )
    assert 0.1 < ours[3] < 0.99
    assert 100 * ours[3] == pytest.approx(theirs.score, abs=1e-6)


# vendi-score names scipy.sparse.csr, which SciPy is about to drop.
@pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
@pytest.mark.parametrize("way", ["zipf", "collapsed"])
def test_vendi_equals_vendi_score(way):
    peer = pytest.importorskip("vendi_score.vendi")
    captions = drawn(way, 120)
    kernels = []
    for n in (1, 2):
        rows = [[tuple(words[i : i + n]) for i in range(len(words) - n + 1)] for words in captions]
        places = {gram: place for place, gram in enumerate({g for row in rows for g in row})}
        counts = np.zeros((len(rows), len(places)))
        for number, row in enumerate(rows):
            for gram in row:
                counts[number, places[gram]] += 1
        counts /= np.linalg.norm(counts, axis=1, keepdims=True)
        kernels.append(counts @ counts.T)
    expected = peer.score_K(np.mean(kernels, axis=0))
    assert table_of(captions)["vendi_score"].value == pytest.approx(expected, rel=1e-9)


def test_self_repetition_equals_diversity():
    found = importlib.util.find_spec("diversity")
    if found is None:
        pytest.skip("diversity is not installed: pip install --no-deps diversity")
    # Its __init__ imports packages that it does not require; the one file does not need them.
    path = Path(found.origin).parent / "self_repetition.py"
    spec = importlib.util.spec_from_file_location("self_repetition", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    captions = drawn("chain", 150)
    expected = module.self_repetition_score([" ".join(words) for words in captions], verbose=False)
    assert table_of(captions)["self_repetition"].value == pytest.approx(expected, abs=1e-12)
