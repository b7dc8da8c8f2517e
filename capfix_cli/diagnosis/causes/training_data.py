"""The ``data.*`` causes: found in the training captions, where those were given."""

from __future__ import annotations

from collections.abc import Callable

from capfix_cli.diagnosis.causes.finding import DiagnosisContext, Finding, not_tested
from capfix_cli.schemas.records import Evidence

NEEDS = "--train-captions CSV"
AUDIO = "--train-captions CSV and --train-audio DIR"
IDS = {
    "data.imbalanced": (NEEDS, "Balance the captions, or weigh rare ones more (fixes 4.1, 3.4)"),
    "data.generic-captions": (NEEDS, "Filter bland captions, or ask for specific ones (fix 4.2)"),
    "data.single-caption": (NEEDS, "Train on all captions of a clip (fix 4.3)"),
    "data.shifted-pairs": (AUDIO, "Pair every caption with its own clip again, then retrain"),
}


def finder(cause: str) -> Callable[[DiagnosisContext], Finding]:
    """Make the finder of one cause of the training data."""
    needs, mend = IDS[cause]

    def find(case: DiagnosisContext) -> Finding:
        if case.training is None:
            return not_tested(cause, needs)
        for found in case.training:
            if found.id == cause:
                # A captioner may be well in spite of it; it is said all the same, less surely.
                sure = found.confidence if case.ill else min(found.confidence, 0.6)
                return Finding(cause, sure, found.evidence, mend=mend)
        looked = Evidence("the training captions show it", False)
        return Finding(cause, 0.0, (looked,))

    return find
