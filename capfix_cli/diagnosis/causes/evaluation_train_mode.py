"""``evaluation.train-mode``: dropout and batch statistics are at work while captions are made."""

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

ID = "evaluation.train-mode"


def find(case: DiagnosisContext) -> Finding:
    """Compare as given with every layer held in eval mode."""
    try:
        found = case.probes.invariance
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    if found.training is None:
        return not_tested(ID, "a captioner that runs with every layer held in eval mode")
    share = found.training / max(found.clip, found.training, MOVED_NATS.value)
    evidence = (
        against_threshold("how far eval mode moves the next word", share, MOVED),
        Evidence("eval mode, nats", found.training),
        Evidence("the same asked twice, nats", found.repeat),
        Evidence(
            "layers in training mode", ", ".join(found.noisy[:4]) or "none that can be watched"
        ),
    )
    return Finding(
        ID,
        linear_confidence(share, 0.0, 2 * MOVED.value)
        if found.training > MOVED_NATS.value
        else 0.0,
        evidence,
        mend="Call model.eval() before captioning, and give F.dropout training=self.training",
    )
