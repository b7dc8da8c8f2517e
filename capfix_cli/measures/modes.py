"""Modes: what the captions say over and over, near-identical wordings taken together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from capfix_cli.core.text import split_words
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.measurement import Mode

MIN_COSINE_SAME_MODE = (
    0.75  # ours: cosine of TF-IDF from which "a dog barks" and "the dog is barking" stay apart
)
WORDINGS = 5000  # commonest wordings that are clustered; rarer ones can be no large mode
BLOCK = 256
SHOWN_CLIPS = 100


def find_modes(captions: Sequence[ClipCaption], least: int = 2) -> list[Mode]:
    """Cluster captions by what they say, the largest cluster first.

    The distinct wordings are taken in order of how often they are said; each that belongs to no
    mode yet opens one, and takes all wordings left whose TF-IDF vectors have a cosine of at least
    0.75 with its own. So a mode's exemplar is its commonest wording, and modes do not chain
    through intermediate wordings as single linkage does. Beyond the 5,000 commonest wordings each
    counts as its own mode.

    Args:
        captions: one a clip.
        least: clips that a mode needs.
    """
    clips: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, caption in enumerate(captions):
        clips[tuple(split_words(caption.text))].append(place)
    ranked = sorted(clips, key=lambda words: (-len(clips[words]), words))
    modes = [
        _mode([ranked[place] for place in members], clips, captions)
        for members in _clusters(ranked[:WORDINGS])
    ]
    modes += [_mode([words], clips, captions) for words in ranked[WORDINGS:]]
    modes = [mode for mode in modes if mode.size >= least]
    return sorted(modes, key=lambda mode: -mode.size)


def _clusters(wordings: Sequence[tuple[str, ...]]) -> list[list[int]]:
    if not any(wordings):
        return [[place] for place in range(len(wordings))]
    vectors = tf_idf(wordings)
    free = np.ones(len(wordings), dtype=bool)
    clusters = []
    start = 0
    while start < len(wordings):
        rows = [place for place in range(start, len(wordings)) if free[place]][:BLOCK]
        if not rows:
            break
        start = rows[-1] + 1
        alike = (vectors[rows] @ vectors.T).toarray() >= MIN_COSINE_SAME_MODE
        for place, row in zip(rows, alike, strict=True):
            if free[place]:
                row[place] = True  # a caption of no words has no vector
                members = np.flatnonzero(row & free)
                free[members] = False
                clusters.append(members.tolist())
    return clusters


def tf_idf(wordings: Sequence[tuple[str, ...]]) -> sparse.csr_matrix:
    """Weigh the words of each wording by how few wordings have them, rows of length 1.

    The weight of a word is its count times ln((1 + N) / (1 + wordings with it)) + 1, as in
    scikit-learn's ``TfidfVectorizer``, whose import takes longer than all measures of 100 captions.

    Args:
        wordings: N of them, as words.

    Returns:
        [N, words], the words in alphabetical order; the row of an empty wording is empty.
    """
    counts = [sorted(Counter(wording).items()) for wording in wordings]
    column = {word: place for place, word in enumerate(sorted({w for c in counts for w, _ in c}))}
    starts = np.cumsum([0, *map(len, counts)])
    columns = np.array([column[word] for count in counts for word, _ in count], dtype=np.int64)
    values = np.array([number for count in counts for _, number in count], dtype=np.float64)
    having = np.bincount(columns, minlength=len(column))
    values *= (np.log((1 + len(wordings)) / (1 + having)) + 1)[columns]
    matrix = sparse.csr_matrix((values, columns, starts), shape=(len(wordings), len(column)))
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.diags(1 / np.where(lengths > 0, lengths, 1.0)).tocsr() @ matrix


def _mode(
    wordings: Sequence[tuple[str, ...]],
    clips: dict[tuple[str, ...], list[int]],
    captions: Sequence[ClipCaption],
) -> Mode:
    places = [place for words in wordings for place in clips[words]]
    said = Counter(captions[place].text for place in clips[wordings[0]])
    return Mode(
        exemplar=said.most_common(1)[0][0],
        size=len(places),
        share=len(places) / len(captions),
        wordings=len(wordings),
        clips=tuple(captions[place].file_name for place in sorted(places)[:SHOWN_CLIPS]),
    )
