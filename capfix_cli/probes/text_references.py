"""Whose references are these? Asked of captions alone, by their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.probes.text_listening import likeness

CLIPS = 300  # that are matched; more are left out
FEWEST = 30  # clips with two references, for a standard error to mean anything
PERMUTATIONS = 400
OFFSETS = (-3, -2, -1, 1, 2, 3)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TextReferenceFit:
    """How captions fit the references that their clips are given, and those of others.

    Attributes:
        clips: that were looked at, in the order of their names.
        own: standard errors by which a caption fits its own clip's references better than others'.
        related: standard errors by which clips of like captions have like references, whatever the
            words are: captions that are wrong but follow the sound are related to references.
        offset: rows by which other clips' references fit best.
        shifted: standard errors by which those fit better than chance.
        matched: standard errors by which references fit the captions that another reference of
            the same row was matched with.
    """

    clips: int
    own: float
    related: float
    offset: int
    shifted: float
    matched: float


def fit_text_references(
    captions: Mapping[str, str], references: Mapping[str, Sequence[str]], seed: int
) -> TextReferenceFit:
    """Hold every caption against every clip's references.

    What is matched by one reference of a row is judged by another, so that a search is not judged
    by what it searched on.

    Args:
        captions: clip name -> caption.
        references: clip name -> what people say.
        seed: of permutations.

    Raises:
        ProbeFailed: too few clips have two references.
    """
    names = [n for n in sorted(captions) if len(references.get(n, ())) > 1][:CLIPS]
    if len(names) < FEWEST:
        raise ProbeFailed(f"{FEWEST} clips with two references each")
    said = [captions[name] for name in names]
    first = likeness(said, [references[name][0] for name in names])
    second = likeness(said, [references[name][1] for name in names])
    shifts = {offset: _excess(second, _rolled(len(names), offset)) for offset in OFFSETS}
    best = max(shifts, key=lambda offset: shifts[offset])
    generator = np.random.default_rng([seed, 103])
    return TextReferenceFit(
        clips=len(names),
        own=_excess(second, np.arange(len(names))),
        related=_related(said, [references[name][0] for name in names], generator),
        offset=best,
        shifted=shifts[best],
        matched=_excess(second, _matching(first, generator)),
    )


def _rolled(count: int, offset: int) -> NDArray[np.int64]:
    return (np.arange(count) + offset) % count


def _matching(alike: Floats, generator: np.random.Generator) -> NDArray[np.int64]:
    """Give each caption a row of references so that they are alike in all; ties by chance."""
    from scipy.optimize import linear_sum_assignment

    order = generator.permutation(len(alike))
    rows, columns = linear_sum_assignment(-alike[:, order])
    found = np.empty(len(alike), dtype=np.int64)
    found[rows] = order[columns]
    return found


def _excess(alike: Floats, places: NDArray[np.int64]) -> float:
    """Standard errors by which chosen pairs are more alike than pairs are on the whole."""
    count = len(alike)
    chosen = alike[np.arange(count), places] - alike.mean(axis=1)
    spread = float(chosen.std(ddof=1)) / np.sqrt(count)
    return float(chosen.mean() / spread) if spread > 0 else 0.0


def _related(
    captions: Sequence[str], references: Sequence[str], generator: np.random.Generator
) -> float:
    """Mantel's test (1967): are pairs of clips with like captions pairs with like references?"""
    one, other = likeness(captions, captions), likeness(references, references)
    count = len(captions)
    above = np.triu_indices(count, 1)
    left = one[above] - one[above].mean()
    if not left.any():
        return 0.0
    value = float(left @ other[above])
    drawn = np.empty(PERMUTATIONS)
    for number in range(PERMUTATIONS):
        order = generator.permutation(count)
        drawn[number] = float(left @ other[np.ix_(order, order)][above])
    spread = float(drawn.std())
    return (value - float(drawn.mean())) / spread if spread > 0 else 0.0
