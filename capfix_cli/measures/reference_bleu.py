"""BLEU against references, as the captioning field computes it (pycocoevalcap, aac-metrics).

BLEU-n is the geometric mean of the corpus's clipped precisions of 1-grams to n-grams, times
exp(1 - r/c) where captions of c words in all are shorter than the r of the closest references
(Papineni et al. 2002). The program adds 1e-15 to matches and 1e-9 to counts instead of smoothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capfix_cli.measures.sentence_counts import count_grams

Floats = NDArray[np.float64]
ORDER = 4
TINY, SMALL = 1e-15, 1e-9


def bleu_statistics(
    captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> Floats:
    """Give what BLEU needs of each caption; a corpus's statistics are their sum.

    Returns:
        ``[captions, 10]``: clipped matches of 1- to 4-grams, n-grams said, own length, length of
        the closest reference (the shorter of two).
    """
    total = len(captions)
    clip = np.repeat(np.arange(total), [len(texts) for texts in references])
    flat = [words for texts in references for words in texts]
    columns = []
    for grams in count_grams([*captions, *flat], ORDER):
        own, theirs = grams.part(0, total), grams.part(total, total + len(flat))
        key = clip[theirs.row] * grams.grams + theirs.gram
        order = np.argsort(key, kind="stable")
        most = np.zeros(len(own.key), dtype=np.int64)
        if len(order) and len(own.key):
            starts = np.flatnonzero(np.r_[True, np.diff(key[order]) > 0])
            largest = np.maximum.reduceat(theirs.count[order], starts)
            keys = key[order][starts]
            place = np.minimum(np.searchsorted(keys, own.key), len(keys) - 1)
            most = np.where(keys[place] == own.key, largest[place], 0)
        columns.append(np.bincount(own.row, np.minimum(own.count, most), total))
    lengths = np.array([len(words) for words in captions])
    said = [np.maximum(0, lengths - n) for n in range(ORDER)]
    closest = [
        min((abs(len(words) - len(own)), len(words)) for words in texts)[1]
        for own, texts in zip(captions, references, strict=True)
    ]
    return np.stack([*columns, *said, lengths, np.array(closest)], axis=1).astype(np.float64)


def bleu(statistics: Floats) -> Floats:
    """BLEU-1 to BLEU-4 of summed statistics ``[..., 10]``, as ``[..., 4]``."""
    matched, said = statistics[..., :ORDER], statistics[..., ORDER : 2 * ORDER]
    length, reference = statistics[..., -2:-1], statistics[..., -1:]
    logs = np.cumsum(np.log((matched + TINY) / (said + SMALL)), axis=-1)
    ratio = (length + TINY) / (reference + SMALL)
    brevity = np.minimum(0.0, 1 - 1 / ratio)
    return np.asarray(np.exp(logs / np.arange(1, ORDER + 1) + brevity))
