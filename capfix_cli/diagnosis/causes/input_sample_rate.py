"""``input.sample-rate``: audio at another rate than that of training."""

from __future__ import annotations

from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import OVER_FEATURES, Finding, not_tested
from capfix_cli.diagnosis.causes.front_end_finding import best_front_end, find_front_end
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext

ID = "input.sample-rate"


def find(case: DiagnosisContext) -> Finding:
    """Read the clips at the other usual rates, and see which fits."""
    if case.over_features:
        return not_tested(ID, f"{OVER_FEATURES}, which have no sample rate")
    if case.ill and not case.probes.sample.clips:
        return not_tested(ID, "the files of the clips, to read them at other rates")
    return find_front_end(case, ID)


CAUSE = CauseSpec(
    id=ID,
    order=80,
    gate=True,
    find=find,
    needs=("fit", "recovery", "weights"),
    explains=(*MODEL, "vocabulary.*", "input.feature-scale"),
    mend="Read the clips at the rate of training",
    repair=best_front_end,
    docs=CauseDocs(
        symptom="as above; sounds are named that are higher or lower than the true ones.",
        experiment=(
            "the clips are read again at 8, 16, 22.05, 24, 32, 44.1 and 48 kHz, and fit and "
            "listening are compared."
        ),
        read="the evidence names the rate that fits and the listening it gives.",
        mend="`sample_rate = ...` in the adapter.",
        sources="the rates of the usual sets and encoders.",
    ),
)
