"""What a finder answers."""

from __future__ import annotations

from dataclasses import dataclass

from capfix_cli.core.thresholds import Threshold
from capfix_cli.schemas.measured_values import Evidence


@dataclass(frozen=True)
class Finding:
    """What one finder answers.

    Attributes:
        id: the cause, ``stage.name``.
        confidence: in [0, 1]; None where the cause was not tested.
        evidence: what was measured.
        needs: what a test would need; empty where it was made.
        mend: what to do about it, in words; empty where the cause's own words say it.
        explains: patterns of causes that follow from it as it was found here; empty where the
            cause's own say it.
        proved: whether the test that was made is one that only this cause fails, so that no mend
            need be tried.
        most: confidence at most, where answers of this kind are known to be right less often than
            others that are proved.
    """

    id: str
    confidence: float | None
    evidence: tuple[Evidence, ...] = ()
    needs: str = ""
    mend: str = ""
    explains: tuple[str, ...] = ()
    proved: bool = False
    most: float = 1.0


OVER_FEATURES = "audio: clips were given as features"


def not_tested(cause: str, needs: str) -> Finding:
    """Say that a cause could not be looked for."""
    return Finding(cause, None, needs=needs)


def linear_confidence(value: float, low: float, high: float) -> float:
    """0 at ``low``, 1 at ``high``, straight between them; ``low`` may be the higher number.

    >>> linear_confidence(3.0, 2.0, 4.0), linear_confidence(0.0, 2.0, 4.0)
    (0.5, 0.0)
    >>> linear_confidence(1.0, 4.0, 2.0)
    1.0
    """
    return min(1.0, max(0.0, (value - low) / (high - low)))


def against_threshold(
    name: str, value: float | str | bool | None, threshold: Threshold
) -> Evidence:
    """Show a value beside the threshold that decides on it."""
    return Evidence(name, value, threshold.unit, threshold.value, threshold.source)
