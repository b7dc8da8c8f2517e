"""Self-BLEU in time linear in the corpus, equal to the quadratic definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capfix_cli.measures.caption_tokens import Ints, number_words
from capfix_cli.measures.ngrams import ORDER, Ngrams, changes, ngrams_of

Floats = NDArray[np.float64]

SMOOTHING = "method1"
EPSILON = 0.1  # NLTK's smoothing method 1: a precision with no match counts this instead of 0


def self_bleu_scores(captions: Sequence[Sequence[str]], order: int = ORDER) -> list[float]:
    """Score each caption by BLEU against all the others (Texygen, arXiv 1802.01886).

    Args:
        captions: N >= 2 captions in words.
        order: 4 for BLEU-4.

    Returns:
        N scores in [0, 1]; a caption of no words scores 0.
    """
    tokens = number_words(captions)
    matches = [matched(grams.shared()) for grams in ngrams_of(tokens, order)]
    scores = bleu(np.array(matches), tokens.lengths, closest_lengths(tokens.lengths))
    return [float(score) for score in scores]


def matched(grams: Ngrams, tops: Tops | None = None) -> Floats:
    """Count the n-grams that each caption shares with the others, clipped as BLEU clips.

    An n-gram's clipped count is limited by the largest count in any one other caption. So the two
    largest counts of each n-gram, and who holds the first, serve every caption.

    Args:
        grams: n-grams of one length, those that only one caption has left out or not.
        tops: their largest counts; those of captions said once, where it is not given.

    Returns:
        [captions].
    """
    if not len(grams):
        return np.zeros(grams.captions)
    tops = largest(grams) if tops is None else tops
    others = np.where(tops.holds_first, grams.each(tops.second), grams.each(tops.first))
    return grams.sum_by_caption(np.minimum(grams.count, others))


@dataclass(frozen=True, eq=False)
class Tops:
    """Largest counts of each n-gram in any one caption, repeats of a caption included."""

    first: Ints  # [n-grams]
    second: Ints  # [n-grams], 0 where only one caption has it
    third: Ints  # [n-grams], likewise
    holds_first: NDArray[np.bool_]  # [rows]
    holds_second: NDArray[np.bool_]  # [rows]; a caption said twice can hold both


def largest(grams: Ngrams, counts: Ints | None = None, third: bool = False) -> Tops:
    """Find the two or three largest counts of each n-gram, and who holds the first two.

    Args:
        grams: n-grams of one length.
        counts: [captions] how often each caption was said; once, where it is not given.
        third: whether the third is wanted too.
    """
    left = np.ones(len(grams.caption), np.int64) if counts is None else counts[grams.caption]
    left = np.minimum(left, 3)
    if not len(grams):
        none = np.zeros(0, np.int64)
        return Tops(none, none, none, none > 0, none > 0)
    tops, holders = [], []
    for _ in range(3 if third else 2):
        shown = np.where(left > 0, grams.count, 0)
        top = np.maximum.reduceat(shown, grams.starts)
        holder = _first_of(grams, (shown == grams.each(top)) & (shown > 0))
        left -= holder
        tops.append(top)
        holders.append(holder)
    return Tops(tops[0], tops[1], tops[-1], holders[0], holders[1])


def _first_of(grams: Ngrams, hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the first hit of each n-gram."""
    places = np.flatnonzero(hit)
    if not len(places):
        return hit
    only = np.zeros(len(hit), bool)
    only[places[changes(grams.gram[places])]] = True
    return only


def closest_lengths(lengths: Ints, counts: Ints | None = None, groups: Ints | None = None) -> Ints:
    """Give for each caption the length, among the others, that is closest; the shorter of two.

    Args:
        lengths: [captions] in words.
        counts: [captions] how often each was said.
        groups: [captions]; only others of the same group count.

    Returns:
        [captions]; its own length where there is no other.
    """
    order = np.lexsort((lengths,) if groups is None else (lengths, groups))
    ranked = lengths[order]
    far = np.iinfo(np.int64).max // 4
    below, above = np.full(len(order), -far), np.full(len(order), far)
    below[1:], above[:-1] = ranked[:-1], ranked[1:]
    if groups is not None:
        edge = np.diff(groups[order]) != 0
        below[1:][edge], above[:-1][edge] = -far, far
    nearest = np.where(ranked - below <= above - ranked, below, above)
    nearest = np.where(np.abs(nearest - ranked) > far // 2, ranked, nearest)
    found = np.empty_like(lengths)
    found[order] = nearest
    return found if counts is None else np.where(counts > 1, lengths, found)


def bleu(matches: Floats, lengths: Ints, references: Ints) -> Floats:
    """Compute BLEU with smoothing method 1 from clipped counts, as NLTK does.

    exp(mean_n log p_n) times the brevity penalty exp(1 - reference / length) of a short caption;
    p_n = matched / n-grams, 0.1 / n-grams where nothing matched (and n-grams counts as 1 where
    there are none), 0 in all where no word matched.

    Args:
        matches: [order, captions].
        lengths: [captions] in words.
        references: [captions] closest reference length.

    Returns:
        [captions], each in [0, 1].
    """
    orders = np.arange(len(matches))[:, None]
    totals = np.maximum(1, lengths - orders)
    logs = np.log(np.where(matches > 0, matches, EPSILON) / totals).mean(0)
    short = 1.0 - references / np.maximum(1, lengths)
    scores = np.exp(logs + np.minimum(0.0, short))
    return np.where(matches[0] > 0, scores, 0.0)
