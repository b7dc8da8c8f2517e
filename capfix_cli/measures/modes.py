"""Modes: what the captions say over and over, near-identical wordings taken together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from capfix_cli.core.text import split_words
from capfix_cli.schemas.measurement import Mode
from capfix_cli.schemas.records import ClipCaption

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
    vectors = TfidfVectorizer(analyzer=_as_it_is).fit_transform(wordings)
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


def _as_it_is(words: tuple[str, ...]) -> tuple[str, ...]:
    return words


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
