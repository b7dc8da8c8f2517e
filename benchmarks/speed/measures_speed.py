"""Corpus measures against what people use today: values that should agree, seconds, and ratios.

    python -m benchmarks.speed.measures_speed [self-bleu | linear | packages | million] ...

- self-bleu: ``fast-bleu`` (C++) at 20,000 and 100,000 captions, NLTK at 500, on captions of ten
  words drawn by Zipf's law from 5,000.
- linear: self-BLEU-4 at 10,000, 100,000 and 1,000,000 captions.
- packages: ``diversity`` and ``vendi-score`` at 10,000 captions, where definitions agree.
- million: all measures with intervals over 1,000,000 captions, against ``str.split`` on the lines.

Medians of three; what takes minutes runs once. Needs the extra ``bench``.
"""

from __future__ import annotations

import importlib.util
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from capfix_cli.measures.caption_tokens import tokenise
from capfix_cli.measures.corpus import Corpus, Counted
from capfix_cli.measures.corpus_measures import measure_corpus
from capfix_cli.measures.ngrams import ngrams_of
from capfix_cli.measures.repetition import self_repetition
from capfix_cli.measures.self_bleu import bleu, closest_lengths, matched, self_bleu_scores
from capfix_cli.measures.vendi import vendi

WORDS = 5000


def captions(number: int, seed: int = 0) -> list[str]:
    """Draw captions of ten words."""
    shares = 1 / np.arange(1, WORDS + 1)
    drawn = np.random.default_rng(seed).choice(WORDS, (number, 10), p=shares / shares.sum())
    return [" ".join([f"w{word}" for word in row]) for row in drawn.tolist()]


def timed(work: Callable[[], Any], runs: int = 3) -> tuple[float, Any]:
    """Median seconds, and what the last run gave."""
    seconds, found = [], None
    for _ in range(runs):
        start = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), found


def row(what: str, ours: float, theirs: float, note: str) -> None:
    """Print one comparison."""
    print(f"{what:44s}{ours:9.3f} s{theirs:10.2f} s{theirs / ours:9.1f} x   {note}", flush=True)


def self_bleu() -> None:
    """Self-BLEU-4 of lists of words."""
    from fast_bleu import SelfBLEU
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    split = [text.split() for text in captions(500)]
    smooth = SmoothingFunction().method1
    ours, mine = timed(lambda: self_bleu_scores(split))
    theirs, other = timed(
        lambda: [
            sentence_bleu(split[:i] + split[i + 1 :], split[i], smoothing_function=smooth)
            for i in range(len(split))
        ],
        1,
    )
    far = float(np.abs(np.array(mine) - other).max())
    row("self-BLEU-4, NLTK, 500", ours, theirs, f"differ by {far:.0e} at most")
    weights = {"4": (0.25, 0.25, 0.25, 0.25)}
    for number in (20_000, 100_000):
        split = [text.split() for text in captions(number)]
        ours, mine = timed(lambda: self_bleu_scores(split))  # noqa: B023
        theirs, other = timed(lambda: SelfBLEU(split, weights).get_score()["4"], 1)  # noqa: B023
        far = abs(float(np.mean(mine)) - float(np.mean(other)))
        row(f"self-BLEU-4, fast-bleu, {number:,}", ours, theirs, f"means differ by {far:.0e}")


def alone(package: str, file: str) -> Any:
    """Import one file of a package whose own __init__ needs packages that it does not require."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    spec = importlib.util.spec_from_file_location(file, Path(found.origin).parent / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kernel(texts: list[str]) -> Any:
    """Compute the mean cosine of the counts of words and of pairs of words, as vendi-score does."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    parts = []
    for n in (1, 2):
        counts = CountVectorizer(tokenizer=str.split, token_pattern=None, ngram_range=(n, n))
        rows = normalize(counts.fit_transform(texts).astype(float))
        parts.append((rows @ rows.T).toarray())
    return np.mean(parts, axis=0)


def packages() -> None:
    """Measures of two packages on PyPI, ours with interval and from the lines on."""
    from vendi_score import vendi as peer

    self_repetition_score = alone("diversity", "self_repetition.py").self_repetition_score
    texts = captions(10_000)

    def counted() -> Counted:
        corpus = Corpus()
        corpus.update(texts)
        return corpus.counted()

    def repetition() -> tuple[float, float]:
        corpus = counted()
        *_, four = ngrams_of(corpus.tokens)
        return self_repetition(four, corpus.counts)

    seconds, table = timed(lambda: measure_corpus(counted()))
    print(f"all {len(table)} measures of 10,000 captions: {seconds:.2f} s")
    ours, mine = timed(repetition)
    theirs, other = timed(lambda: self_repetition_score(texts, verbose=False), 1)
    row("self-repetition, diversity, 10,000", ours, theirs, f"differ by {abs(mine[0] - other):.0e}")
    ours, found = timed(lambda: vendi(counted(), 0))
    theirs, other = timed(lambda: peer.score_K(kernel(texts)), 1)
    note = f"{found.value:.2f}, theirs {other:.2f}, our sketch's error {found.sketch_error:.1e}"
    row("Vendi score, vendi-score, 10,000", ours, theirs, note)


def million() -> None:
    """All measures of a million captions, in a process of its own so that memory is its own."""
    if "--inside" not in sys.argv:
        subprocess.run([sys.executable, __file__, "million", "--inside"], check=True)
        return
    lines = captions(1_000_000)
    split, _ = timed(lambda: [line.split() for line in lines])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    corpus = Corpus()
    corpus.update(lines)
    table = measure_corpus(corpus.counted())
    ours = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(table)} measures of 1,000,000 captions: {ours:.1f} s, splitting the lines"
        f" {split:.2f} s: {ours / split:.1f} times; peak {peak:.2f} GiB ({before:.2f} before)"
    )


def linear() -> None:
    """Self-BLEU-4 from the lines on, per caption, as their number grows."""
    for number in (10_000, 100_000, 1_000_000):
        lines = captions(number)

        def scores() -> float:
            tokens = tokenise(lines)  # noqa: B023
            matches = [matched(grams.shared()) for grams in ngrams_of(tokens)]
            lengths = tokens.lengths
            return float(bleu(np.array(matches), lengths, closest_lengths(lengths)).mean())

        ours, value = timed(scores, 1)
        split, _ = timed(lambda: [line.split() for line in lines], 1)  # noqa: B023
        print(
            f"self-BLEU-4 of {number:9,} captions {ours:8.2f} s, {1e6 * ours / number:5.1f} us"
            f" each, {ours / split:4.1f} times splitting the lines; {value:.4f}",
            flush=True,
        )


PARTS = {"self-bleu": self_bleu, "linear": linear, "packages": packages, "million": million}

if __name__ == "__main__":
    for name in [word for word in sys.argv[1:] if word in PARTS] or list(PARTS):
        PARTS[name]()
