"""``evaluation.batch-dependence``: a clip's caption depends on its neighbours in the batch."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import MOVED, MOVED_NATS, RECAPTIONED
from capfix_cli.diagnosis.causes.cause_spec import FRONT_END, MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import one_by_one
from capfix_cli.diagnosis.text.text_context import TextContext
from capfix_cli.schemas.measured_values import Evidence

ID = "evaluation.batch-dependence"


def find(case: DiagnosisContext) -> Finding:
    """Encode clips alone, together and in another order."""
    try:
        found = case.probes.invariance
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    if found.repeat > MOVED_NATS.value:
        return not_tested(ID, "a captioner that answers the same twice")
    moved = max(found.alone, found.permuted)
    share = moved / max(found.clip, moved, MOVED_NATS.value)
    evidence = (
        against_threshold("how far other neighbours move the next word", share, MOVED),
        Evidence("how far clips one by one move the next word", found.alone, "nats"),
        Evidence("how far another order of the clips moves the next word", found.permuted, "nats"),
        Evidence("how far another clip moves the next word", found.clip, "nats"),
    )
    real = moved > MOVED_NATS.value
    return Finding(
        ID,
        linear_confidence(share, 0.0, 2 * MOVED.value) if real else 0.0,
        evidence,
        # Where nothing is wrong with the captions there is nothing that a mend could restore: the
        # test itself is then all there is to show.
        proved=not case.ill,
    )


def from_text(case: TextContext) -> Finding:
    """Ask about clips alone, and in calls with others."""
    try:
        alone, reordered = case.probes.alone, case.probes.reordered
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    fewest = min(alone, reordered, key=lambda one: one.share)
    moved = 1.0 - fewest.share
    low = 1.0 - fewest.interval[1]
    evidence = (
        against_threshold("clips whose caption other neighbours change", moved, RECAPTIONED),
        Evidence("the least that are, by the 95 % interval", low, RECAPTIONED.unit),
        Evidence("captions kept one by one", alone.share, "share of captions"),
        Evidence("captions kept in another order", reordered.share, "share of captions"),
    )
    confidence = linear_confidence(moved, 0.0, 2 * RECAPTIONED.value)
    return Finding(ID, confidence, evidence, proved=not case.ill)


CAUSE = CauseSpec(
    id=ID,
    order=60,
    gate=True,
    find=find,
    from_text=from_text,
    needs=("invariance",),
    explains=(*MODEL, *FRONT_END, "evaluation.padding"),
    mend=(
        "Evaluate clips one by one (--batch-size 1), and look for an index over the batch where "
        "one over time is meant, or for batch statistics"
    ),
    repair=one_by_one(ID),
    docs=CauseDocs(
        symptom="another `--batch-size` or order, other captions.",
        experiment="the same clips, all of one length, together, alone and in another order.",
        read=(
            "sums in another order move the next word by under a thousandth of what another clip "
            "does; known defects (positions indexed by batch row) by over a twentieth."
        ),
        mend=(
            "one by one (tried as a repair); look for an index over the batch where one over time "
            "is meant."
        ),
        sources=(
            "SCIENCE section 4. Not tested on a captioner that answers differently when asked "
            "twice."
        ),
    ),
)
