"""``input.feature-scale``: features on another scale than those of training."""

from __future__ import annotations

from capfix_cli.diagnosis.causes.finding import DiagnosisContext, Finding
from capfix_cli.diagnosis.causes.front_end_finding import find_front_end

ID = "input.feature-scale"


def find(case: DiagnosisContext) -> Finding:
    """Hold features to the network's own statistics, and search the usual front ends."""
    return find_front_end(case, ID)
