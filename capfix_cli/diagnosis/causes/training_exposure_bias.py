"""``training.exposure-bias``: led by people's words it does well, by its own it goes astray."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import RUNS_ASTRAY
from capfix_cli.diagnosis.causes.cause_spec import CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "training.exposure-bias"


def find(case: DiagnosisContext) -> Finding:
    """Compare teacher-forced loss with what the captions become when they run free, by position."""
    try:
        led, free = case.probes.language, case.probes.running
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    apart = free.late - free.people
    evidence = (
        against_threshold(
            "pairs of words that no reference has, in the second half of captions",
            free.late,
            RUNS_ASTRAY,
        ),
        Evidence(
            "pairs of words that no reference has, in the first half of captions",
            free.early,
            "share of pairs of words",
        ),
        Evidence(
            "pairs of words that no other reference has, in the second half of people's captions",
            free.people,
            "share of pairs of words",
        ),
        Evidence(
            "loss on the second half of references, led by their words",
            led.late,
            "nats a word",
            led.unigram,
            "word frequencies",
        ),
        Evidence(
            "loss on the first half of references, led by their words", led.early, "nats a word"
        ),
    )
    # Led by references it must do well, or it is the decoder that cannot speak.
    able = led.loss < led.bigram + 0.3 * max(0.0, led.unigram - led.bigram)
    grows = free.late > 1.3 * free.early
    astray = linear_confidence(apart, RUNS_ASTRAY.value / 2, 1.5 * RUNS_ASTRAY.value)
    return Finding(
        ID,
        astray * 0.9 if able and grows else 0.0,
        evidence,
    )


CAUSE = CauseSpec(
    id=ID,
    order=140,
    find=find,
    needs=("language", "running"),
    explains=("decoder.overconfident",),
    mend="Train with scheduled sampling (fix 3.2), and stop at the least loss on other clips",
    located=True,
    decided_by=(
        "give --train-captions and --train-audio, which show whether the training pairs fit;"
        " else run the recipe, whose control shows what training alone does"
    ),
    docs=CauseDocs(
        symptom="captions begin well and go astray.",
        experiment=(
            "teacher-forced loss by halves; pairs of words that no reference has, in the halves of "
            "its own captions, against people's."
        ),
        mend="fix 3.2.",
        sources="SCIENCE section 4.",
    ),
)
