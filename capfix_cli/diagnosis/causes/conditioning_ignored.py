"""``conditioning.ignored``: the memory differs between clips, and the decoder does not care."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import DEAF_NATS
from capfix_cli.diagnosis.causes.finding import (
    DiagnosisContext,
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.schemas.records import Evidence

ID = "conditioning.ignored"


def find(case: DiagnosisContext) -> Finding:
    """Exchange the memory and see whether the next word moves."""
    try:
        found = case.probes.conditioning
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = [
        against_threshold("another clip's memory, KL a word in nats", found.overall, DEAF_NATS)
    ]
    for name, places in (
        ("the mean", found.mean),
        ("silence", found.silence),
        ("noise", found.noise),
    ):
        if places:
            evidence.append(Evidence(f"memory of {name}, highest KL by place", max(places)))
    still = linear_confidence(found.overall, 2 * DEAF_NATS.value, DEAF_NATS.value / 2)
    return Finding(
        ID,
        still if case.deaf else 0.0,
        tuple(evidence),
        mend="Give the audio to every step and retrain (fix 2.2); the decoder has learnt to do"
        " without it",
    )
