"""``wiring.audio-lost``: the encoder's layers carry the audio, the memory does not."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import MEMORY_SHARE, SAME_TO_THE_BIT
from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext

ID = "wiring.audio-lost"


def find(case: DiagnosisContext) -> Finding:
    """Compare what the encoder's last layer tells of the clips with what the memory tells."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    try:
        places = case.probes.signal
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    memory = next((place.share for place in places if place.place == "memory"), 0.0)
    layers = [place for place in places if place.place.startswith("encoder ")]
    if not layers:
        return not_tested(ID, "a network whose layers can be watched while clips are encoded")
    last = layers[-1]
    evidence = (
        against_threshold("what differs from clip to clip in the memory", memory, SAME_TO_THE_BIT),
        against_threshold(
            f"what differs from clip to clip in the {last.place}", last.share, MEMORY_SHARE
        ),
    )
    # A layer that was trained badly makes memories nearly alike; alike to the bit is no layer's.
    lost = last.share >= MEMORY_SHARE.value and memory <= SAME_TO_THE_BIT.value
    return Finding(
        ID,
        0.95 if lost and case.ill else 0.0,
        evidence,
        mend="Hand on what the encoder computes: encode() gives every clip the same memory, though"
        f" {last.place} differs",
        proved=True,
    )


CAUSE = CauseSpec(
    id=ID,
    order=57,
    gate=True,
    find=find,
    needs=("signal",),
    explains=(*MODEL, "input.*", "vocabulary.*"),
    mend="Hand on what the encoder computes: encode() gives every clip the same memory",
    docs=CauseDocs(
        symptom="one caption, whatever is heard; nothing needs training.",
        experiment=(
            "between-clip variation after every layer of the encoder, and in the memory that "
            "`encode` returns."
        ),
        read="a memory that is the same to the bit, behind layers that differ, is a wiring fault.",
        mend="look at what `encode` returns: a constant, another variable, the text-only path.",
        sources="public threads (SCIENCE section 8).",
    ),
)
