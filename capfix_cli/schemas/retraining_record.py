"""A recipe that was run and what it proved, ``capfix.retraining/1``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from capfix_cli.schemas.diagnosis_record import Diagnosis

RETRAINING_SCHEMA: Literal["capfix.retraining/1"] = "capfix.retraining/1"


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
    schema: Literal["capfix.retraining/1"] = RETRAINING_SCHEMA
