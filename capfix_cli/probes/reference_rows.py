"""Whose references are these? Clips and references matched by the captioner's own scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.decoding.caption_scoring import reference_tokens
from capfix_cli.probes.listening import bound_scores
from capfix_cli.probes.pair_scoring import Scorer

CLIPS = 48  # each is scored with the references of all others
FEWEST = 12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceRows:
    """How references fit the clips that they are given for, and other clips.

    Attributes:
        clips: that were looked at, in the order of their names.
        own: standard errors by which a clip fits its own references better than chance.
        offset: rows by which another clip's references fit best.
        shifted: standard errors by which those fit better than chance.
        matched: standard errors by which references fit the clips that other references of the
            same row were matched with; None where rows have one reference.
        bits: of listening to references under that matching, as a share of their ceiling; of the
            offset's where rows have one reference.
        loss: of own references in nats a token.
        matched_loss: of those that clips were matched with.
    """

    clips: int
    own: float
    offset: int
    shifted: float
    matched: float | None
    bits: float
    loss: float
    matched_loss: float


def measure_reference_rows(
    scorer: Scorer, references: Mapping[str, Sequence[str]]
) -> ReferenceRows:
    """Score every clip with every other clip's references.

    A matching of clips with references is found by one reference of each row and judged by
    another, so that what is found by searching is not judged by what was searched.

    Raises:
        ProbeFailed: too few clips have references.
    """
    from scipy.optimize import linear_sum_assignment

    usable = {}
    for name in sorted(scorer.names):
        told = [reference_tokens(scorer.captioner, text) for text in references.get(name, ())]
        told = [tokens for tokens in told if len(tokens) > 1]
        if told:
            usable[name] = told
    names = list(usable)[:CLIPS]
    if len(names) < FEWEST:
        raise ProbeFailed(f"references of {FEWEST} clips or more")

    def table(which: int) -> tuple[Floats, Floats, Floats]:
        pairs = [(usable[other][which], name) for name in names for other in names]
        scores = scorer.log_probabilities(pairs).reshape(len(names), len(names))
        lengths = np.array([len(usable[other][which]) for other in names])
        return scores / lengths, _centred(scores / lengths), lengths

    plain, first, lengths = table(0)
    rows = np.arange(len(names))
    own = _sigma(first[rows, rows])
    half = len(names) // 2
    offsets = {
        step: _sigma(first[rows, (rows + step) % len(names)])
        for step in range(half - len(names) + 1, half + 1)
        if step
    }
    offset = max(offsets, key=lambda step: offsets[step])
    matched = None
    _, chosen = linear_sum_assignment(-first)
    if all(len(usable[name]) > 1 for name in names):
        again, second, lengths = table(1)
        matched = _sigma(second[rows, chosen])
        matched_loss = -float(again[rows, chosen].mean())
        bits = _share(again * lengths, chosen)
    else:
        others = (rows + offset) % len(names)
        matched_loss = -float(plain[rows, others].mean())
        bits = _share(plain * lengths, others)
    return ReferenceRows(
        clips=len(names),
        own=own,
        offset=offset,
        shifted=offsets[offset],
        matched=matched,
        bits=bits,
        loss=-float(plain[rows, rows].mean()),
        matched_loss=matched_loss,
    )


def _share(scores: Floats, chosen: NDArray[np.int64]) -> float:
    """Listening under a matching: [clips, references] ln p and each clip's reference -> a share."""
    clips = len(scores)
    of_reference = np.argsort(chosen)  # the clip that each reference was matched with
    own = scores[of_reference, np.arange(clips)]
    others = [np.delete(scores[:, one], clip) for one, clip in enumerate(of_reference)]
    table = np.column_stack([own, np.stack(others)])
    return float(bound_scores(table).bits.mean()) / math.log2(clips)


def _centred(scores: Floats) -> Floats:
    """Take off what a clip, and what a reference, scores with all others."""
    scores = np.clip(scores, np.percentile(scores, 2), None)
    centred: Floats = scores - scores.mean(axis=0)[None] - scores.mean(axis=1)[:, None]
    return np.asarray(centred + scores.mean())


def _sigma(values: Floats) -> float:
    spread = max(float(values.std(ddof=1)), 1e-12)
    return float(values.mean()) / spread * float(np.sqrt(len(values)))
