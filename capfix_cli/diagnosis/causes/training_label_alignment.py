"""``training.label-alignment``: each place was trained on the wrong word of the caption."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import OFF_NATS
from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "training.label-alignment"
_LAGS = ("the word just read", "the next word", "the word after the next")


def find(case: DiagnosisContext) -> Finding:
    """Hold each place's scores to the word before, the word due, and the one after."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    try:
        lags, language = case.probes.lags, case.probes.language
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = tuple(
        Evidence(
            f"loss of {what} on references", loss, "nats a word", None, "at its best temperature"
        )
        for what, loss in zip(_LAGS, lags.losses, strict=True)
    )
    best = min((0, 2), key=lambda lag: lags.losses[lag])
    least = lags.losses[best]
    # It knows another word far better than the one that is due, and better than counts do.
    found = least < min(lags.losses[1], language.unigram) - OFF_NATS.value
    why = (
        "the targets were the inputs themselves: shift them by one"
        if best == 0
        else "the labels were shifted twice: once by hand, and once by the model or its loss"
    )
    mend = f"Train again with labels aligned: {why}"
    return Finding(ID, 0.95 if found else 0.0, evidence, mend=mend, proved=True)


CAUSE = CauseSpec(
    id=ID,
    order=112,
    gate=True,
    find=find,
    needs=("lags", "language"),
    explains=(*MODEL, "vocabulary.*", "input.*", "wiring.*"),
    mend="Train again with every place's label the word that follows it",
    docs=CauseDocs(
        symptom="a very low training loss, and captions of one word over and over, or word salad.",
        experiment=(
            "teacher-forced on references, the scores of each place are held to the word just "
            "read, to the next one and to the one after."
        ),
        read=(
            "a sound decoder knows the next word best. Needs `--references`. Measured: without a "
            "shift 0.0 nats for the word just read and 10.8 for the next; shifted twice 1.3 for "
            "the word after the next and 7.3 for the next."
        ),
        mend="shift targets once, in one place: models of transformers shift inside their loss.",
        sources="public threads (SCIENCE section 8).",
    ),
)
