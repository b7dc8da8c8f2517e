"""``encoder.time-pooling``: the order of sounds is averaged away."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.text import split_words
from capfix_cli.core.thresholds import DEAF_NATS, FAINT_LISTENING, TELLS_ORDER, TIME_SHARE
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "encoder.time-pooling"
ORDER = frozenset({"then", "before", "after", "followed", "preceded", "later", "finally"})


def find(case: DiagnosisContext) -> Finding:
    """Exchange the halves of each clip: the next word must move, since the order has changed."""
    try:
        found = case.probes.geometry
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    pooled = case.facts.get("encoder.pooling") == "time"
    design = Evidence(
        "encoder.pooling in the checkpoint's config",
        str(case.facts.get("encoder.pooling", "not known")),
        "",
        None,
        "the document, 2.1",
    )
    if found.clip < DEAF_NATS.value:
        # Nothing moves it: what its design allows to go wrong is then all that can be said.
        return Finding(
            ID,
            0.5 if pooled and case.deaf else 0.0,
            (
                design,
                Evidence(
                    "how far another clip moves the next word",
                    found.clip,
                    "nats",
                    DEAF_NATS.value,
                    DEAF_NATS.source,
                ),
            ),
        )
    share = found.still
    still = linear_confidence(share, 2 * TIME_SHARE.value, TIME_SHARE.value / 2)
    faint = linear_confidence(
        case.listening_share, FAINT_LISTENING.value + 0.1, FAINT_LISTENING.value - 0.1
    )
    # Listening need not suffer: both sounds are named. But who tells an order must hear it.
    texts = [caption.text for caption in case.probes.captions]
    orders = sum(bool(ORDER & set(split_words(text))) for text in texts) / max(1, len(texts))
    tells = linear_confidence(orders, 0.0, 2 * TELLS_ORDER.value)
    return Finding(
        ID,
        still * max(0.9 * faint, 0.8 * tells),
        (
            against_threshold(
                "how far exchanging a clip's halves moves the memory", share, TIME_SHARE
            ),
            Evidence(
                "how far exchanging a clip's halves moves the next word",
                found.time / found.clip,
                "of what another clip moves the next word",
            ),
            against_threshold("listening", case.listening_share, FAINT_LISTENING),
            against_threshold("captions that tell an order", orders, TELLS_ORDER),
            design,
        ),
    )


CAUSE = CauseSpec(
    id=ID,
    order=20,
    find=find,
    needs=("geometry",),
    explains=(*DECODER, "conditioning.constant-attention"),
    mend="Pool frequency alone and keep time up to the decoder, then retrain (fix 2.1)",
    located=True,
    decided_by=(
        "give --train-captions and --train-audio, which show whether the training pairs fit;"
        " else run the recipe, whose control shows what training alone does"
    ),
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="both sounds are named, their order is a coin's toss.",
        experiment=(
            "the halves of each clip change places: does the memory move as it does for another "
            "clip?"
        ),
        read=(
            "a cause where captions tell an order (*then, before, after, followed by*) or "
            "listening is faint. Averaging the frames of a sound captioner left its listening as "
            "it was and its order right in 47 % instead of 72 %. A captioner that is otherwise "
            "healthy can have this cause."
        ),
        mend="fix 2.1.",
        sources="the document, 2.1; `benchmarks/accuracy/causes.py`.",
    ),
)
