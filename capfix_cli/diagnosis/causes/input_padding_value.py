"""``input.padding-value``: what stands behind a clip is not what stood there in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import FRONT_END_TIE
from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair

if TYPE_CHECKING:
    from capfix_cli.probes.front_ends import FrontEnd

ID = "input.padding-value"


def find(case: DiagnosisContext) -> Finding:
    """Put other values behind the clips, and listen."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    if not case.ill:
        return Finding(ID, 0.0, ())
    try:
        found = case.probes.padding_values
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    gain = found.best_share - found.own_share
    evidence = (
        against_threshold(
            f"listening gained by {found.best.name}, share of the ceiling", gain, FRONT_END_TIE
        ),
    )
    mend = f"Mend the input: {found.best.line}"
    return Finding(ID, 0.7 if gain > FRONT_END_TIE.value else 0.0, evidence, mend=mend)


def _other_value(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    front: FrontEnd = case.probes.padding_values.best
    yield Repair(ID, front.name, front.line, front.apply(case.captioner), searched=True)


CAUSE = CauseSpec(
    id=ID,
    order=87,
    gate=True,
    find=find,
    needs=("padding_values",),
    explains=(*MODEL, "evaluation.padding", "input.feature-scale"),
    mend="Pad features with the value that training padded them with",
    repair=_other_value,
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
