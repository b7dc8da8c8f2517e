"""One whole diagnosis, ``capfix.diagnosis/2``, and the records that it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from capfix_cli.schemas.asked_record import Asked
from capfix_cli.schemas.clip_records import SkippedClip
from capfix_cli.schemas.identity_record import Identity
from capfix_cli.schemas.measured_values import Axis, Evidence, Listening, Measure, Verdict

Status = Literal["needed", "done", "not-applicable", "unknown"]

DIAGNOSIS_SCHEMA: Literal["capfix.diagnosis/2"] = "capfix.diagnosis/2"
FIRST_SCHEMA = "capfix.diagnosis/1"
# Units as the names of evidence ended in them, while they were one.
_WRITTEN_UNITS = ("nats", "nats a word", "nats a token", "bits", "share of the ceiling")


@dataclass(frozen=True)
class Restored:
    """What came back when a cause was undone; ``from`` and ``to`` in JSON.

    Attributes:
        what: was missing, with its unit.
        from_: as it was.
        to_: with the cause undone.
        possible: what a sound captioner reaches.
    """

    what: str
    from_: float
    to_: float
    possible: float

    @property
    def share(self) -> float:
        """Of what was missing; at most 1."""
        missing = self.possible - self.from_
        return 1.0 if missing <= 0 else max(0.0, min(1.0, (self.to_ - self.from_) / missing))


@dataclass(frozen=True)
class Cause:
    """Why the captioner fails.

    Attributes:
        id: ``stage.name`` of the design's table, or ``unknown``.
        stage: of the audio's path.
        confidence: in [0, 1].
        evidence: what was measured.
        status: ``proved`` by an intervention, or by a test that only this cause fails; else
            ``suspected``, as every cause of version 1 was.
        restored: what came back when it was undone; None where that takes training.
        mend: what to do about it, in words.
    """

    id: str
    stage: str
    confidence: float
    evidence: tuple[Evidence, ...] = ()
    status: Literal["proved", "suspected"] = "suspected"
    restored: Restored | None = None
    mend: str = ""


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
            ``degenerate``, ``not-fluent``, ``outrun`` (others of a search went on, on more
            clips), ``not-held`` (it worked on the clips that it was chosen by, and not on others)
            or ``unasked`` (others were chosen before it and did not hold).
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
    """What was heard; ``features`` says what a clip's arrays are where they stood for audio."""

    folder: str
    clips: int
    seconds: float
    skipped: tuple[SkippedClip, ...] = ()
    features: str | None = None


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
        lost_at: the place on the path where audio or words are lost; None where nothing is.
        repairs: mends that were tried without training.
        identity: the user's own captions beside capfix's; None where none were given or found.
        asked: how a captioner that gives text alone was asked; None where a model was run.
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
    schema: Literal["capfix.diagnosis/2"] = DIAGNOSIS_SCHEMA
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
    lost_at: str | None = None
    repairs: tuple[Trial, ...] = ()
    identity: Identity | None = None
    asked: Asked | None = None


def upgrade(data: Any) -> Any:
    """Give a diagnosis of an earlier capfix in today's layout.

    Evidence whose name and unit were one, as ``what``, gets them apart. Of version 1, repairs
    are taken from decoding trials; its causes stay suspicions, as no mend of theirs was held
    against what it restores.
    """
    data = _with_units_apart(data)
    if not isinstance(data, dict) or data.get("schema") != FIRST_SCHEMA:
        return data
    trials = data.get("trials")
    if not isinstance(trials, list):
        return {**data, "schema": DIAGNOSIS_SCHEMA}
    mends = [row for row in trials if isinstance(row, dict) and row.get("repair")]
    rest = [row for row in trials if row not in mends]
    return {**data, "schema": DIAGNOSIS_SCHEMA, "trials": rest, "repairs": mends}


def _with_units_apart(data: Any) -> Any:
    """Give every row of evidence its five fields, wherever it stands in a record."""
    if isinstance(data, list):
        return [_with_units_apart(row) for row in data]
    if not isinstance(data, dict):
        return data
    upgraded = {key: _with_units_apart(value) for key, value in data.items()}
    if isinstance(rows := upgraded.get("evidence"), list):
        upgraded["evidence"] = [_five_fields(row) for row in rows]
    return upgraded


def _five_fields(row: Any) -> Any:
    if not isinstance(row, dict) or "what" not in row or "name" in row:
        return row
    name, unit = row["what"], ""
    # What was of no unit that is known keeps its words whole.
    if isinstance(name, str):
        unit = next((unit for unit in _WRITTEN_UNITS if name.endswith(f", {unit}")), "")
        name = name.removesuffix(f", {unit}") if unit else name
    return {"name": name, "unit": unit, **{k: v for k, v in row.items() if k != "what"}}
