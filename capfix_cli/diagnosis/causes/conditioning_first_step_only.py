"""``conditioning.first-step-only``: the audio decides the first word and is forgotten after it."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import DEAF_NATS, FAINT_LISTENING, LATER_SHARE
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "conditioning.first-step-only"


def find(case: DiagnosisContext) -> Finding:
    """Follow the swap's KL along the caption."""
    try:
        found = case.probes.conditioning
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    places = found.swap
    design = Evidence(
        "conditioning in the checkpoint's config",
        str(case.facts.get("conditioning", "not known")),
        "",
        None,
        "the document, 2.2",
    )
    by_design = case.facts.get("conditioning") in {"initial-state", "first-token"}
    if len(places) < 3:
        return not_tested(ID, "captions of three words or more")
    early = max(places[:2])
    if early < DEAF_NATS.value:
        sure = 0.5 if by_design and case.deaf else 0.0
        return Finding(ID, sure, (design,))
    share = found.later / early
    fades = linear_confidence(share, 2 * LATER_SHARE.value, LATER_SHARE.value / 2)
    # Who listens on references all the way has not forgotten the clip, whatever its search says.
    heard = max(case.listening_share, case.reference_listening_share or 0.0)
    faint = linear_confidence(heard, FAINT_LISTENING.value + 0.1, FAINT_LISTENING.value - 0.1)
    return Finding(
        ID,
        fades * faint * 0.95,
        (
            against_threshold(
                "how far another clip moves the third word and those after it", share, LATER_SHARE
            ),
            Evidence(
                "how far another clip moves the next word, place by place",
                " ".join(f"{value:.2f}" for value in places[:10]),
                "nats",
            ),
            against_threshold("listening", heard, FAINT_LISTENING),
            design,
        ),
    )


CAUSE = CauseSpec(
    id=ID,
    order=40,
    find=find,
    needs=("conditioning",),
    explains=(*DECODER, "encoder.time-pooling"),
    mend="Give the audio to every step, not to the first alone, and retrain (fix 2.2)",
    located=True,
    decided_by=(
        "give --train-captions and --train-audio, which show whether the training pairs fit;"
        " else run the recipe, whose control shows what training alone does"
    ),
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="captions begin rightly and end alike.",
        experiment=(
            "the same KL by place; from the third word on against the first two. Who listens all "
            "along the references has forgotten nothing, whatever its own captions are."
        ),
        mend="fix 2.2.",
        sources="the document, 2.2.",
    ),
)
