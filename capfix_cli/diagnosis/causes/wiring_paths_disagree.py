"""``wiring.paths-disagree``: captions are scored otherwise step by step than as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import MOVED, MOVED_NATS
from capfix_cli.diagnosis.causes.cause_spec import FRONT_END, MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.probes.captioner_variants import derive
from capfix_cli.schemas.measured_values import Evidence

ID = "wiring.paths-disagree"


def find(case: DiagnosisContext) -> Finding:
    """Score the same captions by the captioner's several methods."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    try:
        found = case.probes.paths
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    share = found.apart / max(found.clip, found.apart, MOVED_NATS.value)
    one, other = found.names
    evidence = (
        against_threshold(f"how far {one}() and {other}() are apart", share, MOVED),
        Evidence("Kullback-Leibler divergence between the two", found.apart, "nats a word"),
        Evidence("how far another clip moves the next word", found.clip, "nats"),
        Evidence("first word at which they part, counted from 1", float(found.place + 1)),
    )
    apart = share > MOVED.value and found.apart > MOVED_NATS.value
    mend = f"Make {one}() and {other}() agree: they part at word {found.place + 1}"
    return Finding(ID, 0.9 if apart else 0.0, evidence, mend=mend, proved=not case.ill)


def _by_other_path(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    """Step by the other method: where that listens, the steps are at fault."""
    from capfix_cli.probes.decoder_wiring import stepping_by

    other = case.probes.paths.names[1]
    yield Repair(
        ID,
        f"every step by {other}()",
        f"make step() give what {other}() gives: the cache or state of earlier words is not used",
        derive(case.captioner, **stepping_by(case.captioner, other)),
    )


CAUSE = CauseSpec(
    id=ID,
    order=55,
    gate=True,
    find=find,
    needs=("paths", "conditioning"),
    explains=(*MODEL, *FRONT_END, "vocabulary.*", "wiring.state-lost"),
    mend="Make the captioner's ways of scoring a caption agree",
    repair=_by_other_path,
    docs=CauseDocs(
        symptom="a good validation loss, and bad captions.",
        experiment="the same captions are scored by `step`, `logits` and `sequence_logits`.",
        read="they are to agree to a fiftieth of what another clip moves.",
        mend=(
            "hand keys and values of earlier words on from step to step, with their positions; "
            "stepping by the other method is tried as a repair."
        ),
        sources="public threads (SCIENCE section 8).",
    ),
)
