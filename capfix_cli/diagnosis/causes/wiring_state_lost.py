"""``wiring.state-lost``: from one step to the next the decoder forgets all but the last word."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import BLIND_NATS, MOVED_NATS
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext

ID = "wiring.state-lost"


def find(case: DiagnosisContext) -> Finding:
    """Exchange the words before the last one: a decoder that has a memory of them must move."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    try:
        found = case.probes.history
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = (
        against_threshold("how far another last word moves the next word", found.last, BLIND_NATS),
        against_threshold(
            "how far other words before the last move the next word", found.earlier, MOVED_NATS
        ),
    )
    lost = found.last > BLIND_NATS.value and found.earlier <= MOVED_NATS.value
    return Finding(ID, 0.95 if lost and case.ill else 0.0, evidence, proved=True)


CAUSE = CauseSpec(
    id=ID,
    order=116,
    gate=True,
    find=find,
    needs=("history",),
    explains=(*DECODER, "decoder.*", "conditioning.first-step-only", "vocabulary.special-tokens"),
    mend="Hand the decoder's state from step to step: each word is chosen by the last one alone",
    docs=CauseDocs(
        symptom="captions begin well, then loop and never end.",
        experiment="the last word is exchanged, and then those before it: KL of the next word.",
        read="a decoder that hands on its state moves with both.",
        mend=(
            "pass the hidden state (`h`, `c`, `past_key_values`) of one step to the next; do not "
            "create zeros in each."
        ),
        sources="public threads (SCIENCE section 8).",
    ),
)
