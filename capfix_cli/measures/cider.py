"""CIDEr-D without Java: how much captions agree with what people say, and with others' references.

For n = 1 to 4, sentences are vectors of counts times idf = log(clips / clips whose references have
the n-gram); the caption's counts are clipped at the reference's, cosines are damped by
exp(-d^2 / 72) where d is the difference of lengths, and averaged over references and n, times 10
(Vedantam et al. 2015, arXiv 1411.5726; sigma = 6). As in its authors' program, which pycocoevalcap
and aac-metrics follow, a length is counted in bigrams.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capfix_cli.measures.sentence_counts import Integers, count_grams

Floats = NDArray[np.float64]
ORDER = 4
SIGMA = 6.0
SCALE = 10.0


class CiderD:
    """CIDEr-D of captions against their own references, or against any other pairing.

    Args:
        captions: N >= 2 captions in words.
        references: for each caption at least one reference in words.
    """

    def __init__(
        self, captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
    ) -> None:
        self.clips = len(captions)
        flat = [words for texts in references for words in texts]
        self.clip: Integers = np.repeat(np.arange(self.clips), [len(texts) for texts in references])
        everything = count_grams([*captions, *flat], ORDER)
        total = self.clips + len(flat)
        self.own = [grams.part(0, self.clips) for grams in everything]
        self.theirs = [grams.part(self.clips, total) for grams in everything]
        self.idf: list[Floats] = []
        for grams in self.theirs:
            said = np.unique(self.clip[grams.row] * grams.grams + grams.gram) % grams.grams
            clips_with = np.bincount(said, minlength=grams.grams)
            self.idf.append(np.log(self.clips) - np.log(np.maximum(1, clips_with)))
        self.lengths = np.array([max(0, len(words) - 1) for words in captions])
        self.their_lengths = np.array([max(0, len(words) - 1) for words in flat])

    def scores(self, paired: Integers | None = None) -> Floats:
        """Score each caption, from 0 to 10.

        Args:
            paired: for each caption, the clip whose references it is held against, a permutation;
                its own without.
        """
        clip = self.clip
        if paired is not None:
            back = np.empty_like(paired)
            back[paired] = np.arange(self.clips)
            clip = back[clip]
        size = len(clip)
        total = np.zeros(size)
        for own, theirs, idf in zip(self.own, self.theirs, self.idf, strict=True):
            said = own.counts_of(clip[theirs.row], theirs.gram)
            shared = np.minimum(said, theirs.count) * theirs.count * idf[theirs.gram] ** 2
            dot = np.bincount(theirs.row, shared, size)
            norm = np.sqrt(
                np.bincount(own.row, (own.count * idf[own.gram]) ** 2, self.clips)[clip]
                * np.bincount(theirs.row, (theirs.count * idf[theirs.gram]) ** 2, size)
            )
            total += np.divide(dot, norm, out=np.zeros(size), where=norm > 0)
        apart = (self.lengths[clip] - self.their_lengths).astype(np.float64)
        total *= np.exp(-(apart**2) / (2 * SIGMA**2)) * SCALE / ORDER
        return np.bincount(clip, total, self.clips) / np.bincount(clip, minlength=self.clips)
