"""``input.axes``: time and frequency of the features are exchanged, or one is reversed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capfix_cli.core.thresholds import LISTENING_SHARE
from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.feature_layout_finding import best_layout, find_layout
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext

if TYPE_CHECKING:
    from capfix_cli.probes.feature_layouts import Layouts

ID = "input.axes"


def _tries(case: DiagnosisContext) -> Layouts:
    return case.probes.axes


def find(case: DiagnosisContext) -> Finding:
    """Exchange and reverse the axes of the features, and listen."""
    if case.finite and not case.deaf:
        listens = against_threshold("listening", case.listening_share, LISTENING_SHARE)
        return Finding(ID, 0.0, (listens,))
    return find_layout(case, ID, _tries)


CAUSE = CauseSpec(
    id=ID,
    order=85,
    gate=True,
    find=find,
    needs=("axes",),
    explains=(*MODEL, "vocabulary.*", "input.feature-scale", "input.sample-rate"),
    mend="Give the features with time and frequency where training had them",
    repair=best_layout(ID, _tries),
    docs=CauseDocs(
        symptom="one caption, or wrong ones; shapes fit because the network pools them away.",
        experiment="time and frequency are exchanged, and each is reversed: what then listens?",
        mend="`features.transpose(1, 2)`, in one place.",
        sources="public threads (SCIENCE section 8).",
    ),
)
