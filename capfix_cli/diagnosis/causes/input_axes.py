"""``input.axes``: time and frequency of the features are exchanged, or one is reversed."""

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

ID = "input.axes"


def find(case: DiagnosisContext) -> Finding:
    """Exchange and reverse the axes of the features, and listen."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    if not case.deaf:
        listens = against_threshold(
            "listening, share of the ceiling", case.listening_share, FRONT_END_TIE
        )
        return Finding(ID, 0.0, (listens,))
    try:
        found = case.probes.axes
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


def _other_axes(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    front: FrontEnd = case.probes.axes.best
    yield Repair(ID, front.name, front.line, front.apply(case.captioner), searched=True)


CAUSE = CauseSpec(
    id=ID,
    order=85,
    gate=True,
    find=find,
    needs=("axes",),
    explains=(*MODEL, "vocabulary.*", "input.feature-scale", "input.sample-rate"),
    mend="Give the features with time and frequency where training had them",
    repair=_other_axes,
    docs=CauseDocs(
        symptom="one caption, or wrong ones; shapes fit because the network pools them away.",
        experiment="time and frequency are exchanged, and each is reversed: what then listens?",
        mend="`features.transpose(1, 2)`, in one place.",
        sources="public threads (SCIENCE section 8).",
    ),
)
