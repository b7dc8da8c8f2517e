"""``evaluation.padding``: zeros behind a clip move its caption."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import MOVED, MOVED_NATS
from capfix_cli.diagnosis.causes.finding import (
    DiagnosisContext,
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.schemas.records import Evidence

ID = "evaluation.padding"


def find(case: DiagnosisContext) -> Finding:
    """Pad clips by half and tell their lengths: the next word must not move."""
    try:
        found = case.probes.invariance
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    if found.repeat > MOVED_NATS.value:
        return not_tested(ID, "a captioner that answers the same twice")
    moved = found.padded
    share = moved / max(found.clip, moved, MOVED_NATS.value)
    evidence = (
        against_threshold("how far padding moves the next word", share, MOVED),
        Evidence("padding by half, nats", moved),
        Evidence("another clip, nats", found.clip),
    )
    return Finding(
        ID,
        linear_confidence(share, 0.0, 2 * MOVED.value) if moved > MOVED_NATS.value else 0.0,
        evidence,
        mend="Mask the padding by the clips' lengths in every layer that mixes frames; until then"
        " evaluate clips one by one (--batch-size 1)",
    )
