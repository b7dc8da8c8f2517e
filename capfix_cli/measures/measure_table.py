"""All measures of a set of captions, and whether they differ as healthy ones do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.randomness import stream
from capfix_cli.core.text import split_words
from capfix_cli.core.thresholds import (
    DISTINCT_AT_100,
    ENTROPY_AT_100,
    GRAVE_DISTINCT_AT_100,
    GRAVE_ENTROPY_AT_100,
    HEALTHY_DISTINCT,
    JUDGED_AT,
)
from capfix_cli.measures.corpus import Corpus, Counted
from capfix_cli.measures.corpus_measures import measure_corpus
from capfix_cli.measures.intervals import mean_interval, student
from capfix_cli.measures.signature import signature
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.measured_values import Axis, Evidence, Measure

Integers = NDArray[np.int64]
Words = tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """Whether captions differ between clips, with what was compared.

    Attributes:
        differ: as those of healthy captioners do.
        evidence: what was compared.
        grave: whether they repeat as those of collapsed captioners do.
        axis: of the two figures compared the one that is nearer to its threshold, or further
            below it, with its interval.
    """

    differ: bool
    evidence: tuple[Evidence, ...]
    axis: Axis
    grave: bool = False


def measure_captions(
    captions: Sequence[ClipCaption], seed: int = 0, drawn: bool = True
) -> dict[str, Measure]:
    """Compute every measure of a set of captions, each with its 95 % interval and its signature.

    Args:
        captions: one a clip, at least 2.
        seed: of what is drawn.
        drawn: as for :func:`capfix_cli.measures.corpus_measures.measure_corpus`.

    Raises:
        CapfixError: there are fewer than two captions.
    """
    table = measure_corpus(count_captions(captions), seed, drawn)
    logprobs = [c.logprob / max(1, len(c.tokens) + c.ended) for c in captions]
    table["logprob_per_token"] = Measure(
        float(np.mean(logprobs)),
        *mean_interval(logprobs),
        source=signature("logprob_per_token", len(captions), unit="nats"),
    )
    return table


def count_captions(captions: Sequence[ClipCaption]) -> Counted:
    """Count captions and those that never ended."""
    corpus = Corpus()
    corpus.update([c.text for c in captions], [c.ended for c in captions])
    return corpus.counted()


def judge_diversity(
    captions: Sequence[str], references: Sequence[Sequence[str]] | None = None, seed: int = 0
) -> Judgement:
    """Say whether captions differ between clips as those of healthy captioners do.

    Diversity falls with N even for people, so it is compared at the same N: both measures are
    taken at m = min(N, 100), where the bands of published outputs are known, as exact means over
    all subsets of m captions. With references the cut is lowered to the references' own figures:
    nobody says 100 things about 10 kinds of sound.

    Args:
        captions: one a clip.
        references: for each of the same clips, its references.
        seed: of the drawing of references.
    """
    said = caption_counts(captions)
    total = int(said.sum())
    size = min(total, int(JUDGED_AT.value))
    found = (expected_distinct(said, size), expected_entropy(said, size))
    cut, grave = cuts(size), grave_cuts(size)
    source = f"{DISTINCT_AT_100.source}, at N={size}"
    if references is not None and any(references):
        people = caption_counts(reference_sample(references, seed))
        at = min(size, int(people.sum()))
        own = (expected_distinct(people, at), expected_entropy(people, at))
        cut = (cut[0] * own[0], cut[1] * own[1])
        grave = (grave[0] * own[0], grave[1] * own[1])
        source += ", times the references' own figure"
    axes = [
        Axis(value, *_jackknife(said, size, figure), needed, source, f"{name} among {size}", unit)
        for name, unit, figure, value, needed in (
            ("distinct captions", "share of captions", expected_distinct, found[0], cut[0]),
            ("entropy of captions", "share of its most", expected_entropy, found[1], cut[1]),
        )
    ]
    nearest = min(axes, key=lambda axis: axis.value / max(axis.threshold, 1e-9))
    if len(said) == 1:  # of 20 clips one caption is a twentieth, and never enough
        nearest = replace(nearest, low=0.0, high=min(nearest.high, nearest.value))
    return Judgement(
        len(said) > 1 and all(axis.fulfilled for axis in axes),
        tuple(axis.evidence for axis in axes),
        nearest,
        len(said) == 1 or found[0] < grave[0] or found[1] < grave[1],
    )


def _jackknife(
    said: Integers, size: int, figure: Callable[[Integers, int], float]
) -> tuple[float, float]:
    """95 % interval of a figure of ``size`` captions, each clip left out in turn (Tukey 1958).

    Clips whose captions are equally common are alike, so that one of each is left out.
    """
    total = int(said.sum())
    left = min(size, total - 1)
    counts, many = np.unique(said, return_counts=True)
    without = []
    for count in counts:
        fewer = said.copy()
        fewer[int(np.flatnonzero(said == count)[0])] -= 1
        without.append(figure(fewer[fewer > 0], left))
    weights = many * counts / total
    spread = float(weights @ (np.array(without) - weights @ np.array(without)) ** 2)
    half = student(total - 1) * math.sqrt((total - 1) * spread)
    value = figure(said, size)
    return max(0.0, value - half), min(1.0, value + half)


def reference_sample(references: Sequence[Sequence[str]], seed: int) -> list[str]:
    """Draw one reference a clip, as one person would have captioned them all."""
    generator = stream(seed, "references.one-a-clip")
    return [texts[int(generator.integers(len(texts)))] for texts in references if texts]


def caption_counts(captions: Sequence[str]) -> Integers:
    """Count how often each distinct caption was said, words compared, as ``[distinct]``."""
    said: Counter[Words] = Counter()
    for text, count in Counter(captions).items():
        said[tuple(split_words(text))] += count
    return np.array(list(said.values()), dtype=np.int64)


def expected_distinct(said: Integers, size: int) -> float:
    """Share of distinct captions among ``size`` drawn of all, in the mean over all draws.

    Exact: a caption said c times of N is missed with probability C(N - c, m) / C(N, m) (Hurlbert
    1971, Ecology 52).
    """
    counts, many = np.unique(said, return_counts=True)
    missed = np.array([_drawn(int(said.sum()), int(count), size)[0] for count in counts])
    return float(np.sum(many * (1.0 - missed))) / size


def expected_entropy(said: Integers, size: int) -> float:
    """Normalised caption entropy among ``size`` drawn of all, in the mean over all draws.

    Exact: of a caption said c times, k are drawn with the hypergeometric probability, and it then
    adds -(k/m) log2(k/m).
    """
    if size < 2:
        return 0.0
    counts, many = np.unique(said, return_counts=True)
    bits = 0.0
    for count, times in zip(counts.tolist(), many.tolist(), strict=True):
        chances = _drawn(int(said.sum()), count, size)[1:]
        share = np.arange(1, len(chances) + 1) / size
        bits -= times * float(np.sum(chances * share * np.log2(share)))
    return bits / math.log2(size) + 0.0


def _drawn(total: int, count: int, size: int) -> NDArray[np.float64]:
    """Probability that 0, 1, ... of a caption's ``count`` are among ``size`` drawn of ``total``."""
    all_ways = _log_choose(total, size)
    return np.array(
        [
            math.exp(_log_choose(count, k) + _log_choose(total - count, size - k) - all_ways)
            if size - k <= total - count
            else 0.0
            for k in range(min(count, size) + 1)
        ]
    )


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def cuts(size: int) -> tuple[float, float]:
    """Give the least distinct share and entropy at which captions count as different.

    Known at N=100. Below, the captioner that a share q of whose captions is one favourite has
    (1 - q) healthy(N) + 1/N distinct captions; the q that meets the cut at N=100 is kept. The
    normalised entropy's cut is kept as it is: healthy captioners lie ever further above it.
    """
    return _at(size, DISTINCT_AT_100.value), ENTROPY_AT_100.value


def grave_cuts(size: int) -> tuple[float, float]:
    """Give the shares below which captions are not bland but collapsed, by the same rule."""
    return _at(size, GRAVE_DISTINCT_AT_100.value), GRAVE_ENTROPY_AT_100.value


def _at(size: int, at_100: float) -> float:
    if size >= JUDGED_AT.value:
        return at_100
    own_share = (at_100 - 0.01) / _healthy_distinct(100)
    return min(1.0, own_share * _healthy_distinct(size) + 1 / size)


def _healthy_distinct(size: int) -> float:
    sizes, shares = zip(*HEALTHY_DISTINCT, strict=True)
    return float(np.interp(np.log(size), np.log(sizes), shares))
