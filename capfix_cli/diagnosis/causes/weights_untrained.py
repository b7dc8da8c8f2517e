"""``weights.untrained``: every layer is as it was created."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.diagnosis.causes.cause_spec import FRONT_END, MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "weights.untrained"


def find(case: DiagnosisContext) -> Finding:
    """Judge the layers as ``capfix inspect`` does."""
    try:
        weights = case.probes.weights
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    fact = weights.untrained
    judged = len(weights.initial) + len(weights.changed)
    if not judged:
        return not_tested(ID, "layers with values enough to be judged")
    evidence = Evidence(
        "layers as their constructor left them",
        len(weights.initial) / judged,
        "share of layers that can be judged",
        1.0,
        "; ".join(fact.evidence[:2]),
    )
    # That audio reaches the words speaks for nothing: random weights pass it on as well.
    sure = fact.confidence if fact.value is True else 0.0
    return Finding(ID, sure, (evidence,), proved=True)


CAUSE = CauseSpec(
    id=ID,
    order=40,
    gate=True,
    find=find,
    needs=("weights",),
    explains=(*MODEL, *FRONT_END, "vocabulary.*"),
    mend="Give the trained checkpoint: this network was never trained, or nothing was loaded",
    final=True,
    breaks=False,  # training is what it needs: the tree leads there
    docs=CauseDocs(
        symptom="word salad, or one word for ever.",
        experiment="every layer that can be judged holds initial values.",
        mend=(
            "give the trained file. It does not stop the tree: training is what such a network "
            "needs."
        ),
        sources="docs/checkpoints.md.",
    ),
)
