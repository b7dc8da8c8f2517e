"""What the finders of features laid out or padded otherwise share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import FRONT_END_TIE
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair

if TYPE_CHECKING:
    from capfix_cli.probes.feature_layouts import Layouts

Tries = Callable[[DiagnosisContext], "Layouts"]
WORTH_TRYING = 0.7  # confidence: its mend, on other clips, decides


def find_layout(case: DiagnosisContext, cause: str, tries: Tries) -> Finding:
    """Say whether another layout listens more, on the clips of the search.

    Args:
        case: the captioner.
        cause: that it would be.
        tries: gives what came of the layouts.
    """
    if not case.finite:
        return not_tested(cause, "scores that are finite numbers")
    try:
        found = tries(case)
    except ProbeFailed as reason:
        return not_tested(cause, reason.needs)
    row = against_threshold(f"listening gained by {found.best.name}", found.gain, FRONT_END_TIE)
    sure = WORTH_TRYING if found.gain > FRONT_END_TIE.value else 0.0
    return Finding(cause, sure, (row,), mend=f"Mend the input: {found.best.line}")


def best_layout(cause: str, tries: Tries) -> Callable[[DiagnosisContext, str], Iterator[Repair]]:
    """Make the repair that applies the layout that listened most."""

    def make(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
        front = tries(case).best
        yield Repair(
            cause,
            front.name,
            front.line,
            front.apply(case.captioner),
            searched=case.probes.sample.names,
        )

    return make
