"""``input.padding-value``: what stands behind a clip is not what stood there in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.feature_layout_finding import best_layout, find_layout
from capfix_cli.diagnosis.causes.finding import Finding
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

if TYPE_CHECKING:
    from capfix_cli.probes.feature_layouts import Layouts

ID = "input.padding-value"


def _tries(case: DiagnosisContext) -> Layouts:
    return case.probes.padding_values


def find(case: DiagnosisContext) -> Finding:
    """Put other values behind the clips, and listen."""
    if case.finite and not case.ill:
        return Finding(ID, 0.0, (Evidence("verdict", case.decision.verdict),))
    return find_layout(case, ID, _tries)


CAUSE = CauseSpec(
    id=ID,
    order=87,
    gate=True,
    find=find,
    needs=("padding_values",),
    explains=(*MODEL, "evaluation.padding", "input.feature-scale"),
    mend="Pad features with the value that training padded them with",
    repair=best_layout(ID, _tries),
    docs=CauseDocs(
        symptom="short clips beside long ones get poor captions; alone or masked they would not.",
        experiment=(
            "behind each clip's own frames stand zeros, each clip's least value, or silence: what "
            "then listens? Asked only where clips of the folder differ in length."
        ),
        mend="pad the samples with zeros, or the features as training did.",
        sources="public threads (SCIENCE section 8).",
    ),
)
