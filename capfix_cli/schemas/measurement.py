"""What ``capfix measure`` found, in the layout of ``measure --json``; plain records, no numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from capfix_cli.schemas.measured_values import Axis, Evidence, Measure, Verdict

MEASURE_SCHEMA: Literal["capfix.measure/1"] = "capfix.measure/1"


@dataclass(frozen=True)
class Mode:
    """Captions that say nearly the same.

    Attributes:
        exemplar: the commonest of them.
        size: how many clips they caption.
        share: of all clips.
        wordings: how many different captions they are.
        clips: the first hundred of the clips.
    """

    exemplar: str
    size: int
    share: float
    wordings: int = 1
    clips: tuple[str, ...] = ()


@dataclass(frozen=True)
class CurvePoint:
    """Words and distinct words expected in so many captions.

    Attributes:
        captions: m, captions drawn.
        tokens: words expected in them.
        types: distinct words expected in them.
        low: lower end of the 95 % interval of ``types``.
        high: its upper end.
    """

    captions: int
    tokens: float
    types: float
    low: float
    high: float


@dataclass(frozen=True)
class ReferenceListening:
    """How much the audio decides captions, seen from references alone.

    Attributes:
        bits: None: they need the captioner.
        identification: share of captions that fit their own clip best among 20, ties shared.
        low: lower end of its 95 % interval.
        high: upper end.
        chance: the identification of a deaf captioner.
        needed: identification from which the audio counts as deciding.
        people: identification of one reference against the others; None with one a clip.
        ratio: CIDEr-D on own references over that on shuffled ones; None where that is 0.
        ratio_low: lower end of its 95 % interval.
        ratio_high: upper end.
        clips: how many had references.
    """

    bits: None
    identification: float
    low: float
    high: float
    chance: float
    needed: float
    people: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    clips: int


@dataclass(frozen=True)
class MeasuredFile:
    """One file of captions, judged.

    Attributes:
        path: as given.
        captions: rows with a caption, repeated clips included.
        clips: different clips.
        duplicates: rows left out because their clip had a caption already.
        verdict: one of the five; without listening it rests on diversity alone.
        listening: from references; None without.
        measures: name -> value, interval and healthy range.
        modes: clusters of near-identical captions, the largest first.
        signature: what must be known to get the same figures again.
        evidence: the comparisons behind the verdict.
        people: whether people's captions were judged, there being no predicted ones.
        references: most references that a clip has.
        notes: what a reader must know.
        curve: the type-token curve, by number of captions.
        sampled: of more captions than corridors are known for, the measures of as many as they
            are known for, drawn by seed, with their healthy ranges; else empty.
        axes: ``differ``, ``decides`` (where references are given) and ``sentences``.
        close: verdicts that the intervals of the axes do not rule out either.
        degenerate: what is wrong with the captions as sentences, in words.
    """

    path: str
    captions: int
    clips: int
    duplicates: int
    verdict: Verdict
    listening: ReferenceListening | None
    measures: dict[str, Measure]
    modes: tuple[Mode, ...]
    signature: str
    evidence: tuple[Evidence, ...] = ()
    people: bool = False
    references: int = 0
    notes: tuple[str, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    sampled: dict[str, Measure] = field(default_factory=dict)
    axes: dict[str, Axis] = field(default_factory=dict)
    close: tuple[Verdict, ...] = ()
    degenerate: str = ""


@dataclass(frozen=True)
class Difference:
    """By how much the second file differs from the first in one measure, over shared clips.

    Attributes:
        first: value in the first file.
        second: value in the second.
        difference: second less first.
        low: lower end of the 95 % interval of the difference.
        high: upper end.
        p: two-sided, of there being none.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """Two files on the clips that both have, tested in pairs."""

    first: str
    second: str
    clips: int
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Measurement:
    """All files of one ``capfix measure``.

    Attributes:
        capfix_version: that measured.
        files: as given.
        comparisons: of each further file with the first, where they share at least 20 clips.
        seed: of everything that was drawn.
        schema: of the JSON.
        notes: files that share too few clips.
    """

    capfix_version: str
    files: tuple[MeasuredFile, ...]
    comparisons: tuple[Comparison, ...] = ()
    seed: int = 0
    schema: Literal["capfix.measure/1"] = MEASURE_SCHEMA
    notes: tuple[str, ...] = ()
