"""Listening from references: does a caption fit its own clip better than other clips?

Without the captioner the audio's part can still be seen: captions are held against their own clip's
references and against those of others. A captioner that does not listen does equally well on both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from capfix_cli.core.randomness import stream
from capfix_cli.measures.cider import CiderD
from capfix_cli.measures.intervals import BOOTSTRAPS
from capfix_cli.measures.sentence_counts import Grams, Integers, count_grams

Floats = NDArray[np.float64]
AMONG = 20  # clips among which a caption has to find its own
SHUFFLES = 10  # pairings with other clips' references that are averaged
POOL = 4000  # clips that others are drawn from; more are sampled, so that memory stays bounded
BLOCK = 500  # captions scored at once
SAME = 1e-9  # scores closer than this are tied


@dataclass(frozen=True)
class OwnAndShuffled:
    """Captions against their own references and against other clips'.

    Attributes:
        own: CIDEr-D of each caption on its own clip's references.
        shuffled: mean CIDEr-D of each caption on other clips' references.
        found: for each caption, the probability that it fits its own clip best among 20.
        people: the same of one reference against the clip's others; None where clips have one.
    """

    own: Floats
    shuffled: Floats
    found: Floats
    people: Floats | None

    @property
    def identification(self) -> float:
        """Share of the captions that find their own clip among 20."""
        return float(self.found.mean())

    @property
    def ratio(self) -> float | None:
        """CIDEr-D on own references over that on shuffled ones; None where that is 0."""
        return quotient(self.own, self.shuffled)

    def ratio_interval(self, seed: int) -> tuple[float, float] | None:
        """95 % percentile bootstrap over clips of ``ratio``."""
        return ratio_interval(self.own, self.shuffled, seed)


def own_and_shuffled(
    captions: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    seed: int = 0,
) -> OwnAndShuffled:
    """Hold captions against their own and other clips' references.

    Args:
        captions: at least 20, in words (of :func:`capfix_cli.core.text.split_words`).
        references: for each caption at least one, in words.
        seed: of the pairings, and of the sample of clips where there are more than 4,000.
    """
    total = len(captions)
    cider = CiderD(captions, references)
    generator = stream(seed, "reference-listening.pairing", total)
    shuffled = np.zeros(total)
    for _ in range(SHUFFLES):
        shuffled += cider.scores(others(total, generator))
    found = find_own(captions, references, seed)
    people = None
    several = [texts for texts in references if len(texts) > 1]
    if len(several) >= max(AMONG, total // 2):
        chosen = [int(generator.integers(len(texts))) for texts in several]
        people = find_own(
            [texts[place] for place, texts in zip(chosen, several, strict=True)],
            [
                [*texts[:place], *texts[place + 1 :]]
                for place, texts in zip(chosen, several, strict=True)
            ],
            seed,
        )
    return OwnAndShuffled(cider.scores(), shuffled / SHUFFLES, found, people)


def others(total: int, generator: np.random.Generator) -> Integers:
    """Draw a permutation in which no clip keeps its place: a cycle through all in random order."""
    order = generator.permutation(total)
    paired = np.empty(total, dtype=np.int64)
    paired[order] = np.roll(order, 1)
    return paired


def find_own(
    captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], seed: int = 0
) -> Floats:
    """Give the probability that each caption fits its own clip best among itself and 19 others.

    The fit to a clip is the sum of idf = log(clips / clips whose references have the word) over
    the caption's words that any of the clip's references has, each once: words that all clips
    share count next to nothing, in any language. The 19 others are not drawn: with b clips that
    fit better and t that fit as well, the mean over all draws is

        sum_k C(t, k) C(N - 1 - b - t, 19 - k) / C(N - 1, 19) / (k + 1)

    where k of the tied ones are among the 19 and chance decides between them. A caption that is
    the same for all clips is so right exactly 1 time in 20.
    """
    total = len(captions)
    if total > POOL:
        generator = stream(seed, "reference-listening.pool", total)
        pool = np.sort(generator.permutation(total)[:POOL])
    else:
        pool = np.arange(total)
    joined = [[word for words in texts for word in words] for texts in references]
    (grams,) = count_grams([*captions, *joined], 1)
    own = _presence(grams.part(0, total), total)
    theirs = _presence(grams.part(total, 2 * total), total)
    with_word = np.maximum(1, theirs.sum(axis=0))
    weighted = own * (math.log(total) - np.log(with_word))[None, :]
    weighted = csr_array(weighted)
    among = theirs[pool].T.tocsr()
    result = np.empty(total)
    for start in range(0, total, BLOCK):
        rows = slice(start, min(start + BLOCK, total))
        here = weighted[rows]
        mine = np.asarray(here.multiply(theirs[rows]).sum(axis=1)).reshape(-1, 1)
        fit = (here @ among).toarray()
        itself = pool[None, :] == np.arange(rows.start, rows.stop)[:, None]
        better = (fit > mine + SAME) & ~itself
        tied = (np.abs(fit - mine) <= SAME) & ~itself
        size = len(pool) - itself.sum(axis=1)
        result[rows] = _best_among(better.sum(axis=1), tied.sum(axis=1), size)
    return result


def _presence(grams: Grams, rows: int) -> csr_array:
    ends = np.searchsorted(grams.row, np.arange(rows + 1))
    return csr_array((np.ones(len(grams.gram)), grams.gram, ends), shape=(rows, grams.grams))


def _best_among(better: Integers, tied: Integers, size: Integers) -> Floats:
    """Give the mean share of the win over all draws of 19 out of ``size``."""
    draws = np.minimum(AMONG - 1, size)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, int(size.max()) + 1)))])

    def choose(n: Integers, k: Integers) -> Floats:
        possible = (k >= 0) & (k <= n)
        n, k = np.where(possible, n, 0), np.where(possible, k, 0)
        return np.where(possible, logs[n] - logs[k] - logs[n - k], -np.inf)

    worse = size - better - tied
    share = np.zeros(len(better))
    for k in range(AMONG):
        ways = choose(tied, np.full_like(tied, k)) + choose(worse, draws - k)
        share += np.exp(ways - choose(size, draws)) / (k + 1)
    return share


def quotient(own: Floats, shuffled: Floats) -> float | None:
    """Give the ratio of two means, None where the second is 0."""
    below = float(shuffled.mean())
    return float(own.mean()) / below if below > 0 else None


def ratio_interval(own: Floats, shuffled: Floats, seed: int) -> tuple[float, float] | None:
    """Percentile bootstrap over clips of the ratio of two means; None where it is undefined."""
    generator = stream(seed, "reference-listening.bootstrap", len(own))
    values = []
    for _ in range(BOOTSTRAPS):
        index = generator.integers(0, len(own), len(own))
        value = quotient(own[index], shuffled[index])
        if value is not None:
            values.append(value)
    if not values:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
