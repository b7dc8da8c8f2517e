"""One whole diagnosis, ``capfix.diagnosis/1``, and the records that it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from capfix_cli.schemas.clip_records import SkippedClip
from capfix_cli.schemas.measured_values import Axis, Evidence, Listening, Measure, Verdict

Status = Literal["needed", "done", "not-applicable", "unknown"]

DIAGNOSIS_SCHEMA: Literal["capfix.diagnosis/1"] = "capfix.diagnosis/1"


@dataclass(frozen=True)
class Cause:
    """Why, as ``stage.name`` of the design's table, with a confidence in [0, 1]."""

    id: str
    stage: str
    confidence: float
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class NotTested:
    """A cause that could not be looked for, and what a test of it needs."""

    cause: str
    needs: str


@dataclass(frozen=True)
class SignalPlace:
    """One place on the audio's way through a network.

    Attributes:
        place: ``waveform``, ``features``, ``encoder NAME``, ``memory``, ``decoder NAME``,
            ``decoder state`` or ``next word``.
        share: of between-clip variation there, in [0, 1]; 0 where all clips look alike.
    """

    place: str
    share: float


@dataclass(frozen=True)
class Prediction:
    """Whether decoding fixes were expected to work, and what came of it.

    Attributes:
        works: as predicted from the probes.
        because: on what it rests, in words.
        came: whether a decoding fix worked; None where none was tried.
    """

    works: bool
    because: str
    came: bool | None = None


@dataclass(frozen=True)
class TreeStep:
    """One node of the decision tree as it was walked."""

    node: str
    question: str
    answer: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One decoding fix applied to the captioner and measured.

    Attributes:
        fix: id in the catalogue, or several joined by ``+``.
        name: the decoding in words.
        decoding: its options.
        measures: of its captions.
        listening: of its captions.
        verdict: on its captions.
        kept: whether it works.
        reason: why it was kept or not, in words.
        outcome: the same in one: ``kept``, ``deaf``, ``repeats``, ``listens-less``,
            ``degenerate``, ``not-fluent`` or ``outrun`` (others of a search went on, on more
            clips).
        clips: on how many it was tried.
        pareto: whether no other trial beats it in both diversity and listening.
        repair: what was repaired, where it is no decoding fix but a repair without training.
    """

    fix: str
    name: str
    decoding: dict[str, Any]
    measures: dict[str, Measure]
    listening: Listening | None
    verdict: Verdict
    kept: bool
    reason: str
    outcome: str = ""
    clips: int = 0
    pareto: bool = False
    repair: str = ""


@dataclass(frozen=True)
class PlanRow:
    """One fix of the plan, with where it stands for this captioner and why.

    Attributes:
        fix: id in the catalogue, or ``0`` for what must be mended before all.
        title: its name.
        priority: step of the plan, 0 for what must be mended before all.
        status: where it stands.
        retrain: whether the captioner must be trained again.
        effort: in words.
        reason: why it stands there.
        impact: the document's rating; empty where there is none.
        measured: what it did by itself in capfix's ablation, in bits of listening with its 95 %
            interval; empty where it was not measured.
    """

    fix: str
    title: str
    priority: int
    status: Status
    retrain: bool
    effort: str
    reason: str
    impact: str = ""
    measured: str = ""


@dataclass(frozen=True)
class AudioSummary:
    """What was heard."""

    folder: str
    clips: int
    seconds: float
    skipped: tuple[SkippedClip, ...] = ()


@dataclass(frozen=True)
class ModelSummary:
    """What was loaded, and the facts read from it without running it."""

    path: str
    format: str
    sha256: str | None
    adapter: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    """One whole diagnosis, in the layout of ``diagnose --json``.

    Attributes:
        axes: ``differ``, ``decides`` (where listening was measured) and ``sentences``.
        close: verdicts that the intervals of the axes do not rule out either.
        degenerate: what is wrong with the captions as sentences, in words.
    """

    capfix_version: str
    run: str
    model: ModelSummary
    audio: AudioSummary
    verdict: Verdict
    listening: Listening | None
    measures: dict[str, Measure]
    causes: tuple[Cause, ...]
    tree: tuple[TreeStep, ...]
    trials: tuple[Trial, ...]
    best_decoding: dict[str, Any] | None
    plan: tuple[PlanRow, ...]
    recipe: str | None
    schema: Literal["capfix.diagnosis/1"] = DIAGNOSIS_SCHEMA
    notes: tuple[str, ...] = ()
    examples: tuple[dict[str, str], ...] = ()
    seed: int = 0
    signal: tuple[SignalPlace, ...] = ()
    not_tested: tuple[NotTested, ...] = ()
    prediction: Prediction | None = None
    training: dict[str, Any] | None = None
    training_settings: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, Axis] = field(default_factory=dict)
    close: tuple[Verdict, ...] = ()
    degenerate: str = ""
