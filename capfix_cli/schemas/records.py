"""What the stages hand each other: plain frozen records of standard-library types.

Nothing here imports torch or numpy, so that a saved run can be read and shown in a moment.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["healthy", "generic", "collapsed", "ungrounded"]
VERDICTS: tuple[Verdict, ...] = ("healthy", "generic", "collapsed", "ungrounded")
Status = Literal["needed", "done", "not-applicable", "unknown"]

DIAGNOSIS_SCHEMA = "capfix.diagnosis/1"


@dataclass(frozen=True)
class Measure:
    """A number computed from captions, with its 95 % interval and its healthy range.

    ``None`` for an end of an interval or of a range says that none is known.
    """

    value: float
    low: float | None = None
    high: float | None = None
    healthy_low: float | None = None
    healthy_high: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Listening:
    """How much the audio decides the captions (SCIENCE section 3).

    Attributes:
        bits: lower bound on the information a caption carries about its clip; never below 0.
        ceiling_bits: log2 of the contrast set's size, the most that ``bits`` can reach.
        low: lower end of the 95 % bootstrap interval of ``bits``.
        high: its upper end.
        identification: share of clips whose own audio scores their caption highest.
        chance: the identification of a deaf captioner, 1 / contrast set.
        reference_bits: the same bound on the references; None without references.
        reference_low: lower end of the interval of ``reference_bits``.
        reference_high: its upper end.
        clips: how many clips were scored.
        note: what a reader must know, such as a negative estimate shown as 0.
    """

    bits: float
    ceiling_bits: float
    low: float
    high: float
    identification: float
    chance: float
    reference_bits: float | None = None
    reference_low: float | None = None
    reference_high: float | None = None
    clips: int = 0
    note: str = ""

    @property
    def deciding_bits(self) -> float:
        """The bits that the verdict uses: the lower of own captions and references."""
        return self.bits if self.reference_bits is None else min(self.bits, self.reference_bits)

    @property
    def deciding_interval(self) -> tuple[float, float]:
        """The 95 % interval that belongs to ``deciding_bits``."""
        if self.reference_bits is None or self.bits <= self.reference_bits:
            return self.low, self.high
        return self.reference_low or 0.0, self.reference_high or 0.0


@dataclass(frozen=True)
class Evidence:
    """One measured fact behind a statement."""

    what: str
    value: float | str | bool | None
    threshold: float | str | None = None
    source: str = ""


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
            ``not-fluent`` or ``outrun`` (others of a search went on, on more clips).
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


SkippedKind = Literal[
    "unreadable", "empty", "non-finite", "silent", "too-short", "unknown-rate", "non-finite-scores"
]


@dataclass(frozen=True)
class SkippedClip:
    """A clip that could not be used.

    Attributes:
        path: of its file, relative to the folder.
        reason: in words.
        kind: what programs compare; ``unreadable`` in runs of before 0.2, which had words alone.
    """

    path: str
    reason: str
    kind: SkippedKind = "unreadable"


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
class ClipCaption:
    """The caption of one clip.

    Attributes:
        file_name: the path relative to the audio folder, with forward slashes.
        text: the caption in words.
        tokens: token ids, without begin and end.
        logprob: natural-log probability of the tokens as decoded, end token included.
        ended: whether the captioner gave its end token before the length limit.
        others: further captions of the clip, the best first, where several were asked for.
    """

    file_name: str
    text: str
    tokens: tuple[int, ...] = ()
    logprob: float = 0.0
    ended: bool = True
    others: tuple[ClipCaption, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """One whole diagnosis, in the layout of ``diagnose --json``."""

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
    schema: str = DIAGNOSIS_SCHEMA
    notes: tuple[str, ...] = ()
    examples: tuple[dict[str, str], ...] = ()
    seed: int = 0
    signal: tuple[SignalPlace, ...] = ()
    not_tested: tuple[NotTested, ...] = ()
    prediction: Prediction | None = None
    training: dict[str, Any] | None = None
    training_settings: dict[str, Any] = field(default_factory=dict)


RETRAINING_SCHEMA = "capfix.retraining/1"


@dataclass(frozen=True)
class Expected:
    """One promise of a recipe, held against what came out.

    Attributes:
        measure: what was promised of.
        sentence: the promise in words.
        value: what came out; None where it could not be measured.
        wanted: what it had to reach.
        met: whether it did; None where that cannot be said.
        note: why it cannot be said; empty otherwise.
    """

    measure: str
    sentence: str
    value: float | str | None
    wanted: float | str | None
    met: bool | None
    note: str = ""


@dataclass(frozen=True)
class Retraining:
    """A recipe that was run, and the proof: before, after, and an equal budget without the fixes.

    Attributes:
        recipe: path of the recipe.
        checkpoint: path of the repaired captioner.
        control_checkpoint: path of the control; None where none was trained.
        before: diagnosis of the captioner that the recipe answers; None where it answers none.
        after: diagnosis of the repaired one, on the same clips.
        control: diagnosis of the control, on the same clips.
        conclusion: what the three say together, in words.
        notes: what a reader must know.
        expected: the recipe's promises, and whether they were kept.
        left_out: CSV of the training rows that were not trained on, and why; None where all were.
    """

    recipe: str
    checkpoint: str
    control_checkpoint: str | None
    before: Diagnosis | None
    after: Diagnosis
    control: Diagnosis | None
    conclusion: str
    notes: tuple[str, ...] = ()
    expected: tuple[Expected, ...] = ()
    left_out: str | None = None
    schema: str = RETRAINING_SCHEMA


INSPECTION_SCHEMA = "capfix.inspection/1"


@dataclass(frozen=True)
class Fact:
    """A statement read from a file: a value, how sure it is, and what it rests on.

    ``None`` as the value says that it cannot be decided; the evidence then says why.
    """

    value: str | int | float | bool | None
    confidence: float
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorSummary:
    """A tensor's name, shape, kind and size.

    Attributes:
        name: dotted place in the model.
        shape: sizes.
        dtype: as PyTorch names it.
        elements: how many numbers it has.
        bytes: their size; None for a kind of number whose size is not known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    elements: int = 0
    bytes: int | None = None


@dataclass(frozen=True)
class VocabularySummary:
    """A vocabulary found in a checkpoint: its size, where it is, and its special tokens' ids."""

    size: int
    source: str
    special: dict[str, int]


@dataclass(frozen=True)
class FixDone:
    """Whether a checkpoint has a fix that an older one of the same model lacked.

    Attributes:
        fix: id in the catalogue.
        done: None where weights and settings cannot tell.
        evidence: what was compared, or why it cannot be told.
    """

    fix: str
    done: bool | None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """What is inside a checkpoint, in the layout of ``inspect --json``.

    Attributes:
        path: as given.
        format: kind of file.
        sha256: of its bytes, in hex.
        tensors: of the model, wrappers' prefixes dropped.
        elements: numbers in all of them, those that tensors share counted once.
        bytes: the size of those numbers.
        against: the older checkpoint that it was compared with, if any.
        fixes: which fixes of the network were done since.
        config: settings found beside the weights.
        vocabulary: found beside the weights.
        imports: globals that the file names; none of them was imported.
        refused: why capfix will not load it; None where nothing speaks against it.
        facts: fact id -> statement.
    """

    path: str
    format: str
    sha256: str
    tensors: tuple[TensorSummary, ...]
    config: dict[str, Any] | None
    vocabulary: VocabularySummary | None
    imports: tuple[str, ...]
    refused: str | None
    facts: dict[str, Fact]
    elements: int = 0
    bytes: int = 0
    capfix_version: str = ""
    schema: str = INSPECTION_SCHEMA
    against: str | None = None
    fixes: tuple[FixDone, ...] = ()


def to_dict(record: Any) -> Any:
    """Turn a record into JSON-ready dicts and lists.

    Raises:
        TypeError: for anything that is not a record, container or plain value.
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_dict(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(key): to_dict(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_dict(value) for value in record]
    if record is None or isinstance(record, str | int | float | bool):
        return record
    raise TypeError(f"not JSON-ready: {type(record).__name__}")


def _measures_from(data: dict[str, Any]) -> dict[str, Measure]:
    return {name: Measure(**row) for name, row in data.items()}


def _evidence_from(rows: list[dict[str, Any]]) -> tuple[Evidence, ...]:
    return tuple(Evidence(**row) for row in rows)


def diagnosis_from_dict(data: dict[str, Any]) -> Diagnosis:
    """Read back what :func:`to_dict` made of a diagnosis.

    Raises:
        KeyError, TypeError: the dict is not of the schema ``capfix.diagnosis/1``.
    """

    def listening(row: dict[str, Any] | None) -> Listening | None:
        return None if row is None else Listening(**row)

    audio = dict(data["audio"])
    audio["skipped"] = tuple(SkippedClip(**row) for row in audio["skipped"])
    return Diagnosis(
        **{
            **data,
            "model": ModelSummary(**data["model"]),
            "audio": AudioSummary(**audio),
            "listening": listening(data["listening"]),
            "measures": _measures_from(data["measures"]),
            "causes": tuple(
                Cause(**{**row, "evidence": _evidence_from(row["evidence"])})
                for row in data["causes"]
            ),
            "tree": tuple(
                TreeStep(**{**row, "evidence": _evidence_from(row["evidence"])})
                for row in data["tree"]
            ),
            "trials": tuple(
                Trial(
                    **{
                        **row,
                        "measures": _measures_from(row["measures"]),
                        "listening": listening(row["listening"]),
                    }
                )
                for row in data["trials"]
            ),
            "plan": tuple(PlanRow(**row) for row in data["plan"]),
            "notes": tuple(data["notes"]),
            "examples": tuple(data["examples"]),
            "signal": tuple(SignalPlace(**row) for row in data.get("signal", ())),
            "not_tested": tuple(NotTested(**row) for row in data.get("not_tested", ())),
            "prediction": Prediction(**told) if (told := data.get("prediction")) else None,
        }
    )
