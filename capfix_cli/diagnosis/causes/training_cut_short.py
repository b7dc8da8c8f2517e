"""``training.cut-short``: captions were cut to a number of words, and end there."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import CUT_BEFORE, CUT_END
from capfix_cli.diagnosis.causes.cause_spec import CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "training.cut-short"


def find(case: DiagnosisContext) -> Finding:
    """Look for a number of words after which the end comes, although references go on."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    try:
        found = case.probes.cut
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = (
        against_threshold(
            f"probability of the end after {found.words} words, references going on",
            found.end,
            CUT_END,
        ),
        against_threshold(
            "highest probability of the end after fewer words", found.before, CUT_BEFORE
        ),
        Evidence("references that are longer", found.longer, "share of references"),
        Evidence(f"captions of {found.words} words", found.own, "share of captions"),
    )
    cut = found.end >= CUT_END.value and found.before <= CUT_BEFORE.value
    return Finding(
        ID,
        0.95 if cut and case.ill else 0.0,
        evidence,
        mend=f"Train on whole captions: nothing goes on after {found.words} words (max_length,"
        " truncation)",
        proved=True,
    )


CAUSE = CauseSpec(
    id=ID,
    order=113,
    gate=True,
    find=find,
    needs=("cut",),
    explains=("training.exposure-bias", "decoder.*"),
    mend="Train on whole captions: they were cut to a number of words",
    accounts_for=("differ", "sentences"),
    docs=CauseDocs(
        symptom="captions break off, all after the same number of words.",
        experiment="the probability of the end token at places where references go on.",
        read="a sound decoder ends by what was said, and not by how much. Needs `--references`.",
        mend="raise `max_length` or leave truncation away where captions are tokenised.",
        sources="public threads (SCIENCE section 8).",
    ),
)
