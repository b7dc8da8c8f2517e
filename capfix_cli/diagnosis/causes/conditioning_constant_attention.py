"""``conditioning.constant-attention``: attention weighs all frames alike at every word."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import FLAT_ATTENTION, STILL_ATTENTION
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext

ID = "conditioning.constant-attention"


def find(case: DiagnosisContext) -> Finding:
    """Watch the weights over the memory's frames."""
    try:
        found = case.probes.attention
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    flat = linear_confidence(
        found.entropy, FLAT_ATTENTION.value - 0.04, FLAT_ATTENTION.value + 0.01
    )
    still = linear_confidence(found.steps, 2 * STILL_ATTENTION.value, STILL_ATTENTION.value / 2)
    # Flat, or the same at every word whatever its form: either way it chooses nothing. A captioner
    # that is well without it must show both.
    sure = max(flat * (0.5 + 0.5 * still), still) if case.ill else 0.6 * min(flat, still)
    return Finding(
        ID,
        sure,
        (
            against_threshold(
                f"entropy of attention over {found.frames} frames", found.entropy, FLAT_ATTENTION
            ),
            against_threshold(
                "how far attention moves from word to word", found.steps, STILL_ATTENTION
            ),
        ),
    )


CAUSE = CauseSpec(
    id=ID,
    order=50,
    find=find,
    needs=("attention",),
    explains=(*DECODER, "encoder.time-pooling"),
    mend=(
        "Check the scale, the mask and the axis of the softmax of attention, then retrain (fix 2.3)"
    ),
    located=True,
    decided_by=(
        "give --train-captions and --train-audio, which show whether the training pairs fit;"
        " else run the recipe, whose control shows what training alone does"
    ),
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="captions follow the clip's average.",
        experiment=(
            "every softmax over as many places as the memory has frames, and "
            "`scaled_dot_product_attention`: entropy / log T, and change from word to word."
        ),
        read="near 1, or the same at every word. Not tested where the memory keeps no time.",
        mend="scale, mask and axis of the softmax; fix 2.3.",
        sources="SCIENCE section 4.",
    ),
)
