"""What the finders of ``data.*`` share: the training captions showed it, or were not given."""

from __future__ import annotations

from collections.abc import Callable

from capfix_cli.core.thresholds import DATA_PROVED
from capfix_cli.diagnosis.causes.finding import Finding, not_tested
from capfix_cli.diagnosis.judged_captions import JudgedCaptions
from capfix_cli.schemas.measured_values import Evidence

CAPTIONS = "--train-captions CSV"
WITH_AUDIO = "--train-captions CSV and --train-audio DIR"
MOST_IN_HEALTH = 0.6  # a captioner may be well in spite of it; it is said all the same, less surely


def find_in_data(cause: str, needs: str) -> Callable[[JudgedCaptions], Finding]:
    """Make the finder of one cause of the training data.

    Args:
        cause: its id.
        needs: the options that a test of it takes.
    """

    def find(case: JudgedCaptions) -> Finding:
        if case.training is None:
            return not_tested(cause, needs)
        for found in case.training:
            if found.id == cause:
                sure = found.confidence if case.ill else min(found.confidence, MOST_IN_HEALTH)
                proved = sure >= DATA_PROVED.value and case.ill
                return Finding(cause, sure, found.evidence, proved=proved)
        looked = Evidence("the training captions show it", False)
        return Finding(cause, 0.0, (looked,))

    return find
