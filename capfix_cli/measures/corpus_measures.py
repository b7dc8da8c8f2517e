"""All measures of a corpus of captions that need nothing but the captions, each with its interval.

Time and memory are linear in the words, and nothing loops over captions in Python.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.errors import CapfixError
from capfix_cli.measures.caption_tokens import Ints
from capfix_cli.measures.compression import LEVEL, corpus_compression
from capfix_cli.measures.corpus import Counted
from capfix_cli.measures.count_variance import (
    additive_half,
    half_interval,
    top_share_half,
    types_of,
)
from capfix_cli.measures.intervals import share_interval
from capfix_cli.measures.jackknife_influence import Leaning, leaning, self_bleu_half
from capfix_cli.measures.ngrams import ORDER, Ngrams, ngrams_of
from capfix_cli.measures.pairwise_bleu import pairwise_bleu
from capfix_cli.measures.repetition import repeating, self_repetition
from capfix_cli.measures.self_bleu import SMOOTHING, closest_lengths, largest, matched
from capfix_cli.measures.signature import signature
from capfix_cli.measures.vendi import LONGEST as VENDI_LONGEST
from capfix_cli.measures.vendi import vendi
from capfix_cli.schemas.measured_values import Measure

EAD_VOCABULARY = 30_522  # V of the expectation-adjusted distinct: BERT's word pieces

Floats = NDArray[np.float64]


def measure_corpus(counted: Counted, seed: int = 0, drawn: bool = True) -> dict[str, Measure]:
    """Compute every measure of a corpus.

    ``docs/measures.md`` has the formulas. ``source`` of each is its signature. What cannot be
    computed exactly in linear time says so there: ``pairs`` of the pairwise BLEU, ``of`` and
    ``sketch`` of the Vendi score.

    Args:
        counted: at least two captions.
        seed: of what is drawn.
        drawn: whether to give those that rest on drawn pairs, orders or probes too. They take most
            of the time where captions are few.

    Raises:
        CapfixError: there are fewer than two captions.
    """
    if counted.total < 2:
        raise CapfixError(
            f"Measures compare captions with each other; there {_are(counted.total)}.",
            "Give two captions or more; a verdict needs 20.",
        )
    table = _by_ngrams(counted)
    table |= _whole_captions(counted, seed)
    table |= _within_captions(counted)
    return table | _drawn(counted, seed) if drawn else table


def _are(number: int) -> str:
    return "is one" if number == 1 else "are none"


def _measure(
    value: float, half: float, source: str, top: float = 1.0, bottom: float = 0.0
) -> Measure:
    """Give a figure with its interval, kept within what the figure can be."""
    value = min(max(value, bottom), top)  # a sum of shares can miss 1 by a rounding
    return Measure(value, max(bottom, value - half), min(top, value + half), source=source)


def _by_ngrams(counted: Counted) -> dict[str, Measure]:
    counts, size = counted.counts, counted.total
    table: dict[str, Measure] = {}
    matches: list[Floats] = []
    leanings: list[Leaning] = []
    for grams in ngrams_of(counted.tokens):
        table |= _distinct(grams, counts, size)
        shared = grams.shared(counts)
        tops = largest(shared, counts, third=True)
        matches.append(matched(shared, tops))
        leanings.append(leaning(shared, tops))
        if grams.n == ORDER:
            value, half = self_repetition(grams, counts)
            source = signature("self_repetition", size, n=ORDER)
            table["self_repetition"] = _measure(value, half, source, math.inf)
    lengths = counted.tokens.lengths
    closest = closest_lengths(lengths, counts)
    for order in range(1, ORDER + 1):
        value, half = self_bleu_half(
            np.array(matches[:order]), leanings[:order], lengths, closest, counts
        )
        name = f"self_bleu_{order}"
        source = signature(name, size, n=order, smooth=SMOOTHING)
        table[name] = _measure(value, half, source)
    return table


def _distinct(grams: Ngrams, counts: Ints, size: int) -> dict[str, Measure]:
    """Give distinct-n, its expectation-adjusted form, and for words the vocabulary."""
    n, types = grams.n, types_of(grams, counts)
    distinct, total = types.distinct, types.total
    table = {}
    share = distinct / total if total else 0.0
    half = types.half(1 / total, -share / total) if total else 0.0
    table[f"distinct_{n}"] = _measure(share, half, signature(f"distinct_{n}", size, n=n))
    # EAD = D / (V (1 - ((V - 1) / V)^W)): D over what W draws from V even words would give
    rate = -math.log1p(-1 / EAD_VOCABULARY)
    expected = -EAD_VOCABULARY * math.expm1(-rate * total)
    value = distinct / expected if total else 0.0
    by_total = -value * EAD_VOCABULARY * rate * math.exp(-rate * total) / expected if total else 0
    half = types.half(1 / expected, by_total) if total else 0.0
    name = f"expectation_adjusted_distinct_{n}"
    source = signature(name, size, n=n, V=EAD_VOCABULARY)
    table[name] = _measure(value, half, source, math.inf)
    if n == 1:
        half = types.half(1.0, 0.0) if total else 0.0
        source = signature("vocabulary", size)
        table["vocabulary"] = _measure(float(distinct), half, source, float(total))
    return table


def _whole_captions(counted: Counted, seed: int) -> dict[str, Measure]:
    counts, size = counted.counts, counted.total
    kinds = len(counts)
    places = np.arange(kinds)
    half = types_of(
        Ngrams(0, places, np.ones(kinds, np.int64), places, places, kinds), counts
    ).half(1, 0)
    least, one = 1 / size, signature("distinct_captions", size)
    table = {"distinct_captions": _measure(kinds / size, half / size, one, bottom=least)}
    shares = np.arange(max(3, int(counts.max()) + 1)) / size
    parts = -shares * np.log(np.maximum(shares, 1e-300)) / math.log(size)
    table["caption_entropy"] = _measure(
        float(parts[counts].sum()),
        additive_half(counts, parts),
        signature("caption_entropy", size, base="N"),
    )
    ranked = np.sort(counts)[::-1]
    for k in (1, 10):
        name = f"top_{k}_share"
        source = signature(name, size, seed)
        half, least = top_share_half(counts, k, seed), min(1.0, k / size)
        table[name] = _measure(float(ranked[:k].sum()) / size, half, source, bottom=least)
    return table


def _within_captions(counted: Counted) -> dict[str, Measure]:
    counts, size = counted.counts, counted.total
    lengths = counted.tokens.lengths.astype(np.float64)
    mean = float(lengths @ counts) / size
    half = half_interval(float((lengths - mean) ** 2 @ counts), lengths, counts, 1.0) / size
    table = {"length": _measure(mean, half, signature("length", size, unit="words"), math.inf)}
    hits = {"repeats": int(counts[repeating(counted.tokens)].sum())}
    if counted.without_end is not None:
        hits["no_end"] = counted.without_end
    for name, number in hits.items():
        interval = share_interval(number, size)
        table[name] = Measure(number / size, *interval, source=signature(name, size))
    return table


def _drawn(counted: Counted, seed: int) -> dict[str, Measure]:
    """Compute what rests on a drawn order, drawn pairs or drawn probes."""
    size = counted.total
    value, half, pairs = pairwise_bleu(counted, seed)
    source = signature("pairwise_bleu_4", size, seed, n=ORDER, smooth=SMOOTHING, pairs=pairs)
    table = {"pairwise_bleu_4": _measure(value, half, source)}
    value, half, taken = corpus_compression(counted, seed)
    settings: dict[str, object] = {"gzip": LEVEL}
    if taken < size:
        settings["of"] = taken
    source = signature("compression_ratio", size, seed, **settings)
    table["compression_ratio"] = _scaled(value, half, source, 0.0, math.inf)
    found = vendi(counted, seed)
    settings = {"kernel": f"cosine-1-{VENDI_LONGEST}"}
    if found.captions < size:
        settings["of"] = found.captions
    if found.sketch_error:
        settings["sketch"] = f"{found.sketch_error:.4f}"
    source = signature("vendi_score", size, seed, **settings)
    table["vendi_score"] = _scaled(found.value, found.half, source, 1.0, float(found.captions))
    return table


def _scaled(value: float, half: float, source: str, bottom: float, top: float) -> Measure:
    """Give a figure whose interval is one of its logarithm."""
    low, high = value * math.exp(-half), value * math.exp(half)
    return Measure(value, max(bottom, low), min(top, high), source=source)
