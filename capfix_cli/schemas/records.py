"""What the stages hand each other, by its old address: plain frozen records, no torch or numpy."""

from __future__ import annotations

from capfix_cli.schemas.clip_records import ClipCaption, SkippedClip, SkippedKind
from capfix_cli.schemas.diagnosis_record import (
    DIAGNOSIS_SCHEMA,
    AudioSummary,
    Cause,
    Diagnosis,
    ModelSummary,
    NotTested,
    PlanRow,
    Prediction,
    SignalPlace,
    Status,
    TreeStep,
    Trial,
)
from capfix_cli.schemas.inspection_record import (
    INSPECTION_SCHEMA,
    Fact,
    FixDone,
    Inspection,
    TensorSummary,
    VocabularySummary,
)
from capfix_cli.schemas.measured_values import VERDICTS, Evidence, Listening, Measure, Verdict
from capfix_cli.schemas.plain_data import to_dict
from capfix_cli.schemas.retraining_record import RETRAINING_SCHEMA, Expected, Retraining

__all__ = [
    "DIAGNOSIS_SCHEMA",
    "INSPECTION_SCHEMA",
    "RETRAINING_SCHEMA",
    "VERDICTS",
    "AudioSummary",
    "Cause",
    "ClipCaption",
    "Diagnosis",
    "Evidence",
    "Expected",
    "Fact",
    "FixDone",
    "Inspection",
    "Listening",
    "Measure",
    "ModelSummary",
    "NotTested",
    "PlanRow",
    "Prediction",
    "Retraining",
    "SignalPlace",
    "SkippedClip",
    "SkippedKind",
    "Status",
    "TensorSummary",
    "TreeStep",
    "Trial",
    "Verdict",
    "VocabularySummary",
    "to_dict",
]
