"""``conditioning.ignored``: the memory differs between clips, and the decoder does not care."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import DEAF_NATS, FIT_MISFIT, LISTENING_SHARE, SILENCE_FITS
from capfix_cli.diagnosis.causes.cause_spec import CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "conditioning.ignored"


def find(case: DiagnosisContext) -> Finding:
    """Exchange the memory and see whether the next word moves."""
    try:
        found = case.probes.conditioning
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = [
        against_threshold(
            "how far another clip's memory moves the next word", found.overall, DEAF_NATS
        )
    ]
    for name, places in (
        ("the mean", found.mean),
        ("silence", found.silence),
        ("noise", found.noise),
    ):
        if places:
            evidence.append(
                Evidence(
                    f"how far the memory of {name} moves the next word, at the place of most",
                    max(places),
                    "nats",
                )
            )
    # Own captions that are empty or all alike show no words that the audio could move.
    on_references = case.reference_listening_share
    heard = on_references is not None and on_references >= LISTENING_SHARE.value
    still = linear_confidence(found.overall, 2 * DEAF_NATS.value, DEAF_NATS.value / 2)
    if case.deaf and (silent := _heard_silence(case)):
        evidence += silent
        return Finding(ID, 0.95, tuple(evidence), mend=_SILENCE, proved=True)
    return Finding(
        ID,
        still if case.deaf and not heard else 0.0,
        tuple(evidence),
    )


_SILENCE = (
    "Find why training heard silence, such as files that could not be read and became noughts, and"
    " train again: what the first BatchNorm remembers is silence"
)


def _heard_silence(case: DiagnosisContext) -> list[Evidence]:
    """Say whether silence fits what the first BatchNorm remembers, and real clips do not.

    A decoder whose clips are all silent in training learns to do without them.
    """
    try:
        real, silent = case.probes.fit[0].shift, case.probes.silent_fit.shift
    except ProbeFailed:
        return []
    if real < FIT_MISFIT.value or silent >= SILENCE_FITS.value:
        return []
    return [
        against_threshold(
            "how far silence is from what the first batch normalisation remembers",
            silent,
            SILENCE_FITS,
        ),
        against_threshold("how far the clips are from it", real, FIT_MISFIT),
    ]


CAUSE = CauseSpec(
    id=ID,
    order=30,
    find=find,
    needs=("conditioning",),
    explains=(
        "decoder.overconfident",
        "training.exposure-bias",
        "decoding.search",
        "conditioning.first-step-only",
        "conditioning.constant-attention",
    ),
    mend=(
        "Give the audio to every step and retrain (fix 2.2); the decoder has learnt to do without "
        "it"
    ),
    located=True,
    decided_by=(
        "give --train-captions and --train-audio, which show whether the training pairs fit;"
        " else run the recipe, whose control shows what training alone does"
    ),
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="one caption, often the commonest of training.",
        experiment=(
            "the memory is exchanged for another clip's, the mean, silence and noise: KL of the "
            "next word along own and drawn captions. Where there is a BatchNorm, silence is held "
            "to what it remembers."
        ),
        read=(
            "under .05 nats a word nothing is heard. Behind it may stand shifted pairs or "
            "imbalance: give `--train-captions`. Where silence fits the first BatchNorm and the "
            "clips do not, training heard silence: that proves it."
        ),
        mend="fix 2.2.",
        sources="SCIENCE sections 1 and 4.",
    ),
)
