"""``evaluation.references``: the references are of other clips."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import IDENTIFICATION, LISTENING_SHARE, SHIFT_SIGMA
from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.text.text_context import TextContext
from capfix_cli.diagnosis.verdict import audio_decides
from capfix_cli.schemas.measured_values import Evidence

ID = "evaluation.references"
TOO_FEW = SHIFT_SIGMA.value / 2  # standard errors: own references fit no better than chance may


def find(case: DiagnosisContext) -> Finding:
    """Where own captions are heard and references are not, ask whose references they are."""
    if not case.finite or case.listening is None:
        return not_tested(ID, "scores that are finite numbers")
    on_references = case.reference_listening_share
    if on_references is None:
        return not_tested(ID, "--references CSV")
    heard = against_threshold("listening on references", on_references, LISTENING_SHARE)
    if on_references >= LISTENING_SHARE.value or case.own_listening_share < LISTENING_SHARE.value:
        return Finding(ID, 0.0, (heard,))
    try:
        found, language = case.probes.reference_rows, case.probes.language
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = [
        heard,
        against_threshold(
            "by how much references fit their own clip better than chance", found.own, SHIFT_SIGMA
        ),
        against_threshold(
            f"by how much those {found.offset:+d} rows on fit better than chance",
            found.shifted,
            SHIFT_SIGMA,
        ),
    ]
    if found.matched is not None:
        evidence.append(
            against_threshold(
                "by how much they fit the clips that others of their row were matched with",
                found.matched,
                SHIFT_SIGMA,
            )
        )
    shifted = found.shifted >= SHIFT_SIGMA.value
    # Words under wrong names fit other clips too, and yet are not sentences that it would say.
    spelled = found.matched_loss < min(found.loss, language.unigram)
    evidence.append(
        against_threshold("listening to the references that fit there", found.bits, LISTENING_SHARE)
    )
    heard_there = found.bits >= LISTENING_SHARE.value
    evidence.append(
        Evidence(
            "loss of the references that fit",
            found.matched_loss,
            "nats a token",
            found.loss,
            "the loss of the references as they are paired",
        )
    )
    elsewhere = shifted or (found.matched or 0.0) >= SHIFT_SIGMA.value
    return Finding(
        ID,
        0.95 if elsewhere and spelled and heard_there and found.own < TOO_FEW else 0.0,
        tuple(evidence),
        mend=_mend(found.offset if shifted else 0),
        proved=True,
    )


def _mend(offset: int) -> str:
    if offset:
        return f"Pair the references with their clips again: each fits the clip {offset:+d} rows on"
    return "Pair the references with their clips again: they fit other clips than their own"


def from_text(case: TextContext) -> Finding:
    """Where captions follow the audio and fit no reference of their clips, ask whose they are."""
    if case.references is None:
        return not_tested(ID, "--references CSV")
    listening, on = case.listening, case.outcome.on_references
    if listening is None or on is None:
        return not_tested(ID, "20 clips with references, and a captioner that takes altered clips")
    heard = Evidence(
        "captions that find their clip among 20, by its references",
        on.identification,
        "share of captions",
        on.needed,
        IDENTIFICATION.source,
    )
    if on.identification >= on.needed or not audio_decides(listening):
        return Finding(ID, 0.0, (heard,))
    try:
        found = case.reference_fit
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    shifted = found.shifted >= SHIFT_SIGMA.value
    evidence = (
        heard,
        against_threshold(
            "by how much references fit their own clip better than chance", found.own, SHIFT_SIGMA
        ),
        against_threshold(
            f"by how much those {found.offset:+d} rows on fit better than chance",
            found.shifted,
            SHIFT_SIGMA,
        ),
        against_threshold(
            "by how much they fit the clips that others of their row were matched with",
            found.matched,
            SHIFT_SIGMA,
        ),
        Evidence(
            "by how much like captions have like references",
            found.related,
            SHIFT_SIGMA.unit,
        ),
    )
    mend = (
        f"Pair the references with their clips again: each fits the clip {found.offset:+d} rows on"
        if shifted
        else "Pair the references with their clips again: they fit other clips than their own"
    )
    elsewhere = shifted or found.matched >= SHIFT_SIGMA.value
    # Captions that are wrong and follow the sound have references that are related to them.
    apart = found.own < TOO_FEW and (shifted or found.related < TOO_FEW)
    return Finding(ID, 0.95 if elsewhere and apart else 0.0, evidence, mend=mend, proved=True)


CAUSE = CauseSpec(
    id=ID,
    order=75,
    gate=True,
    find=find,
    from_text=from_text,
    needs=("reference_rows", "language"),
    explains=(*MODEL, "input.*", "vocabulary.*", "training.*"),
    mend="Pair the references with their clips again",
    accounts_for=("decides",),
    docs=CauseDocs(
        symptom="good captions, and scores near nought.",
        experiment=(
            "every clip is scored with every other clip's references. Clips and references are "
            "matched by one reference of each row, and the match is judged by another."
        ),
        read="references that fit the row beside, or other rows, five standard errors and more.",
        mend="join by file name, after sorting both by it.",
        sources="public threads (SCIENCE section 8).",
    ),
)
