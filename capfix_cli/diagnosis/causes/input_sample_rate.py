"""``input.sample-rate``: audio at another rate than that of training."""

from __future__ import annotations

from capfix_cli.diagnosis.causes.finding import DiagnosisContext, Finding, not_tested
from capfix_cli.diagnosis.causes.front_end_finding import find_front_end

ID = "input.sample-rate"


def find(case: DiagnosisContext) -> Finding:
    """Read the clips at the other usual rates, and see which fits."""
    if case.ill and not case.probes.sample.clips:
        return not_tested(ID, "the files of the clips, to read them at other rates")
    return find_front_end(case, ID)
