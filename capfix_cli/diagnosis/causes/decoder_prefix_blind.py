"""``decoder.prefix-blind``: the next word does not depend on the words before it."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import BLIND_NATS, MOVED_NATS
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "decoder.prefix-blind"


def find(case: DiagnosisContext) -> Finding:
    """Put other words before, and see whether the next word moves."""
    try:
        found = case.probes.prefix
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = [
        against_threshold("how far other words before move the next word", found, BLIND_NATS)
    ]
    blind = linear_confidence(found, 2 * BLIND_NATS.value, BLIND_NATS.value / 2)
    if not case.captioner.autoregressive:
        evidence.append(
            Evidence(
                "the next word depends on the words before",
                False,
                "",
                True,
                "as the captioner says of itself",
            )
        )
        blind = min(blind, 0.8)
    # A decoder that has learnt nothing yet hardly moves; one that is fed no words does not at all.
    fed = found > MOVED_NATS.value
    return Finding(
        ID,
        blind if case.ill else 0.0,
        tuple(evidence),
        explains=("vocabulary.*",) if fed else (),
    )


CAUSE = CauseSpec(
    id=ID,
    order=60,
    find=find,
    needs=("prefix",),
    explains=(*DECODER, "conditioning.*", "vocabulary.*", "encoder.time-pooling"),
    mend=(
        "Feed the decoder the words before (its last output, not one token for ever), and check "
        "that its state is handed on"
    ),
    located=True,
    decided_by=(
        "give --train-captions and --train-audio, which show whether the training pairs fit;"
        " else run the recipe, whose control shows what training alone does"
    ),
    docs=CauseDocs(
        symptom="one word over and over.",
        experiment="other words before the same clip: KL of the next word.",
        mend=(
            "feed the last output, hand on the state. By design in decoders that are not "
            "autoregressive."
        ),
        sources="SCIENCE section 5 (a baseline that repeats one frame and never sees a token).",
    ),
)
