"""All measures of a set of captions, and whether they differ as healthy ones do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from capfix_cli.measures import diversity
from capfix_cli.measures.diversity import Words
from capfix_cli.measures.intervals import bootstrap_interval, half_sample_interval
from capfix_cli.measures.selfbleu import self_bleu_scores
from capfix_cli.records import ClipCaption, Evidence, Measure
from capfix_cli.thresholds import (
    DISTINCT_AT_100,
    ENTROPY_AT_100,
    HEALTHY_DISTINCT,
    JUDGED_AT,
)
from capfix_cli.words import split_words

ENTROPY_DRAWS = 200  # subsamples averaged for the entropy at another N


@dataclass(frozen=True)
class Judgement:
    """Whether captions differ between clips, with what was compared."""

    differ: bool
    evidence: tuple[Evidence, ...]


def measure_captions(captions: Sequence[ClipCaption], seed: int = 0) -> dict[str, Measure]:
    """Compute every measure of a set of captions, each with its 95 % interval.

    Args:
        captions: one a clip, at least 2.
        seed: of the resampling behind the intervals.
    """
    words = [tuple(split_words(caption.text)) for caption in captions]
    shares: dict[str, Callable[[Sequence[Words]], float]] = {
        "distinct_1": lambda some: diversity.distinct_n(some, 1),
        "distinct_2": lambda some: diversity.distinct_n(some, 2),
        "distinct_3": lambda some: diversity.distinct_n(some, 3),
        "distinct_captions": diversity.distinct_captions,
        "caption_entropy": diversity.caption_entropy,
        "top_1_share": lambda some: diversity.top_share(some, 1),
        "top_10_share": lambda some: diversity.top_share(some, 10),
    }
    table = {
        name: Measure(function(words), *half_sample_interval(words, function, seed))
        for name, function in shares.items()
    }
    means: dict[str, list[float]] = {
        "self_bleu_4": self_bleu_scores(words),
        "length": [float(len(caption)) for caption in words],
        "repeats": [float(diversity.repeats_itself(caption)) for caption in words],
        "no_end": [float(not caption.ended) for caption in captions],
        "logprob_per_token": [
            caption.logprob / max(1, len(caption.tokens) + caption.ended) for caption in captions
        ],
    }
    for name, values in means.items():
        table[name] = Measure(float(np.mean(values)), *bootstrap_interval(values, seed))
    size = diversity.vocabulary(words)
    table["vocabulary"] = Measure(
        float(size),
        *half_sample_interval(
            words, lambda some: float(diversity.vocabulary(some)), seed, (0, float("inf"))
        ),
    )
    return table


def judge_diversity(
    captions: Sequence[str], references: Sequence[Sequence[str]] | None = None, seed: int = 0
) -> Judgement:
    """Say whether captions differ between clips as those of healthy captioners do.

    Diversity falls with N even for people, so it is compared at the same N: both measures are
    taken at m = min(N, 100), where the bands of published outputs are known. With references the
    cut is lowered to the references' own figures: nobody says 100 things about 10 kinds of sound.

    Args:
        captions: one a clip.
        references: for each of the same clips, its references.
        seed: of the subsampling of entropy and references.
    """
    words = [tuple(split_words(text)) for text in captions]
    size = min(len(words), int(JUDGED_AT.value))
    distinct = diversity.expected_distinct(words, size)
    entropy = entropy_at(words, size, seed)
    distinct_cut, entropy_cut = cuts(size)
    source = f"{DISTINCT_AT_100.source}, at N={size}"
    if references is not None:
        people = reference_sample(references, seed)
        at = min(size, len(people))
        distinct_cut *= diversity.expected_distinct(people, at)
        entropy_cut *= entropy_at(people, at, seed)
        source += ", times the references' own figure"
    evidence = (
        Evidence(f"distinct captions at N={size}", distinct, distinct_cut, source),
        Evidence(f"caption entropy at N={size}", entropy, entropy_cut, source),
    )
    return Judgement(distinct >= distinct_cut and entropy >= entropy_cut, evidence)


def reference_sample(references: Sequence[Sequence[str]], seed: int) -> list[Words]:
    """Draw one reference a clip, as one person would have captioned them all."""
    generator = np.random.default_rng([seed, 17])
    return [
        tuple(split_words(texts[int(generator.integers(len(texts)))]))
        for texts in references
        if texts
    ]


def entropy_at(words: Sequence[Words], size: int, seed: int) -> float:
    """Normalised caption entropy expected among ``size`` of the captions."""
    if size >= len(words):
        return diversity.caption_entropy(words)
    generator = np.random.default_rng([seed, size])
    values = []
    for _ in range(ENTROPY_DRAWS):
        index = generator.permutation(len(words))[:size]
        values.append(diversity.caption_entropy([words[i] for i in index.tolist()]))
    return float(np.mean(values))


def cuts(size: int) -> tuple[float, float]:
    """Give the least distinct share and entropy at which captions count as different.

    Known at N=100. Below, the captioner that a share q of whose captions is one favourite has
    (1 - q) healthy(N) + 1/N distinct captions; the q that meets the cut at N=100 is kept. The
    normalised entropy's cut is kept as it is: healthy captioners lie ever further above it.
    """
    if size >= JUDGED_AT.value:
        return DISTINCT_AT_100.value, ENTROPY_AT_100.value
    own_share = (DISTINCT_AT_100.value - 0.01) / _healthy_distinct(100)
    return min(1.0, own_share * _healthy_distinct(size) + 1 / size), ENTROPY_AT_100.value


def _healthy_distinct(size: int) -> float:
    sizes, shares = zip(*HEALTHY_DISTINCT, strict=True)
    return float(np.interp(np.log(size), np.log(sizes), shares))
