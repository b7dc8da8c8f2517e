"""``decoder.overconfident``: it is surer of its words than it is right."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import GUESSED_RIGHT, SHARPENED
from capfix_cli.diagnosis.causes.cause_spec import CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "decoder.overconfident"


def find(case: DiagnosisContext) -> Finding:
    """Find the temperature at which its probabilities fit the references best."""
    try:
        found = case.probes.language
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = (
        against_threshold("temperature of least loss on references", found.temperature, SHARPENED),
        Evidence(
            "mean probability of the likeliest word",
            found.certainty,
            "probability",
            found.accuracy,
            "how often that word is right",
        ),
    )
    # In a captioner that works it takes more to call it a cause.
    usual = SHARPENED.value if case.ill else 1.5 * SHARPENED.value
    sharp = linear_confidence(found.temperature, usual / 1.5, usual * 4 / 3)
    knows = found.accuracy >= GUESSED_RIGHT.value
    return Finding(
        ID,
        sharp if knows else 0.0,
        evidence,
        mend=f"Decode at temperature {found.temperature:.2g}, and retrain with label smoothing"
        " (fix 3.1)",
    )


CAUSE = CauseSpec(
    id=ID,
    order=80,
    find=find,
    needs=("language",),
    mend="Decode at a higher temperature, and retrain with label smoothing (fix 3.1)",
    located=True,
    decided_by=(
        "give --train-captions and --train-audio, which show whether the training pairs fit;"
        " else run the recipe, whose control shows what training alone does"
    ),
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="sampling changes nothing.",
        experiment="the temperature at which its probabilities fit references best.",
        read="1 is calibrated; from 2 on in a captioner that is ill, 3 in one that is not.",
        mend="decode at that temperature; fix 3.1.",
        sources="temperature scaling, arXiv 1706.04599.",
    ),
)
