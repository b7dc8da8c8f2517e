"""Listening from text alone: do captions follow the audio of clips that were sent again?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from capfix_cli.core.text import split_words
from capfix_cli.core.thresholds import CONTRAST_SET
from capfix_cli.measures.intervals import bootstrap_interval
from capfix_cli.measures.sentence_counts import count_grams
from capfix_cli.probes.listening import bound_scores, contrast_sets
from capfix_cli.schemas.measured_values import Listening

SCALE = 16.0  # of cosines, so that the critic's temperatures reach from flat to sure
CHANCE = 0.05  # of guessing among the clips of a contrast set, whatever the captions say


def likeness(captions: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    """How alike captions are by their rarer words: cosine of weights idf = ln(N / df).

    Args:
        captions: N of them.
        others: M of them.

    Returns:
        [N, M] in [0, 1]; words that all captions share count nothing, in any language.
    """
    count = len(captions)
    words = [split_words(text) for text in [*captions, *others]]
    (grams,) = count_grams(words, 1)
    rows = []
    for first, last in ((0, count), (count, len(words))):
        part = grams.part(first, last)
        ends = np.searchsorted(part.row, np.arange(last - first + 1))
        rows.append(
            csr_array((np.ones(len(part.gram)), part.gram, ends), shape=(last - first, part.grams))
        )
    with_word = np.maximum(1.0, rows[0].sum(axis=0))
    idf = np.log(count) - np.log(with_word)
    sides = []
    for row in rows:
        weighted = csr_array(row * idf[None, :])
        size = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1))).reshape(-1)
        scale = np.where(size > 0, 1.0 / np.where(size > 0, size, 1.0), 0.0)
        sides.append(csr_array(weighted * scale[:, None]))
    return np.asarray((sides[0] @ sides[1].T).toarray())


def listen_to_copies(
    captions: Mapping[str, str], copies: Mapping[str, str], seed: int
) -> Listening | None:
    """Bound the information that captions carry about their clips, in bits.

    A copy of each clip, hardly altered and under another name, was captioned too.
    The caption of a clip is held against those of its own copy and of other clips' copies: how
    alike they are is the critic of the InfoNCE bound that capfix uses where it sees scores, with
    a temperature fitted in the same way. What draws captions by chance, or by a clip's name or
    place, says of a copy what it says of any clip, and comes to 0 bits.

    Args:
        captions: clip name -> caption.
        copies: clip name -> the caption of its copy; clips without are left out.
        seed: of contrast sets and of the bootstrap.

    Returns:
        None for fewer than two clips.
    """
    names = sorted(name for name in copies if name in captions)
    if len(names) < 2:
        return None
    place = {name: number for number, name in enumerate(names)}
    alike = likeness([captions[name] for name in names], [copies[name] for name in names])
    sets = contrast_sets(names, int(CONTRAST_SET.value), seed)
    scores = np.stack(
        [alike[place[name], [place[other] for other in sets[name]]] for name in names]
    )
    bound = bound_scores(SCALE * scores)
    # With a share of chance mixed in it is a bound still, and a single copy that is captioned in
    # other words costs log2 of that share at most.
    bits = np.log2((1.0 - CHANCE) * 2.0**bound.bits + CHANCE)
    low, high = bootstrap_interval(bits, seed)
    mean = float(bits.mean())
    note = "bits by how alike captions of a clip and of its copy are"
    return Listening(
        bits=max(0.0, mean),
        ceiling_bits=math.log2(bound.size),
        low=max(0.0, low),
        high=max(0.0, high),
        identification=float(bound.identified.mean()),
        chance=1 / bound.size,
        clips=len(names),
        note=note,
        auc=float(bound.above.mean()),
    )
