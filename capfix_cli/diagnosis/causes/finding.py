"""What finders look at, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from capfix_cli.captioners.base import Captioner
from capfix_cli.core.thresholds import FAINT_LISTENING, LISTENING_SHARE, Threshold
from capfix_cli.diagnosis.verdict import Decision
from capfix_cli.probes.probe_cache import ProbeCache
from capfix_cli.schemas.records import Cause, Evidence, Listening, SkippedClip


@dataclass(frozen=True)
class DiagnosisContext:
    """One captioner on one set of clips, with everything that is known of them.

    Attributes:
        captioner: as it was given.
        experiments: made when asked for, and shared.
        decision: the verdict on greedy captions.
        listening: on which it rests; None where the captioner's numbers mean nothing.
        facts: read from the checkpoint.
        digests: of the usable clips' samples.
        skipped: files that could not be used.
        finite: whether scores are finite numbers.
        broken: clips whose scores are not.
        training: causes that the training data showed; None where they were not given.
        rescued_by: the decoding that made it work, if one did.
        tried: how many decodings were tried.
    """

    captioner: Captioner
    probes: ProbeCache
    decision: Decision
    listening: Listening | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    digests: Sequence[bytes] = ()
    skipped: Sequence[SkippedClip] = ()
    finite: bool = True
    broken: Sequence[str] = ()
    training: Sequence[Cause] | None = None
    rescued_by: str | None = None
    tried: int = 0

    @property
    def heard(self) -> float:
        """Bits that decide, as a share of their ceiling; 0 where they were not measured."""
        found = self.listening
        return 0.0 if found is None else found.deciding_bits / found.ceiling_bits

    @property
    def heard_by_itself(self) -> float:
        """The same on its own captions, whether or not they are right."""
        found = self.listening
        return 0.0 if found is None else found.bits / found.ceiling_bits

    @property
    def heard_on_references(self) -> float | None:
        """The same on references; None where none were given."""
        found = self.listening
        if found is None or found.reference_bits is None:
            return None
        return found.reference_bits / found.ceiling_bits

    @property
    def deaf(self) -> bool:
        """Whether the audio does not decide the captions."""
        return self.heard < LISTENING_SHARE.value

    @property
    def faint(self) -> bool:
        """Whether it decides them less than it does in sound captioners."""
        return self.heard < FAINT_LISTENING.value

    @property
    def ill(self) -> bool:
        """Whether there is anything to explain."""
        return self.decision.verdict != "healthy"


@dataclass(frozen=True)
class Finding:
    """What one finder answers.

    Attributes:
        id: the cause, ``stage.name``.
        confidence: in [0, 1]; None where the cause was not tested.
        evidence: what was measured.
        needs: what a test would need; empty where it was made.
        mend: what to do about it, in words.
    """

    id: str
    confidence: float | None
    evidence: tuple[Evidence, ...] = ()
    needs: str = ""
    mend: str = ""

    @property
    def cause(self) -> Cause:
        """The finding as a cause."""
        return Cause(self.id, self.id.partition(".")[0], self.confidence or 0.0, self.evidence)


def not_tested(cause: str, needs: str) -> Finding:
    """Say that a cause could not be looked for."""
    return Finding(cause, None, needs=needs)


def linear_confidence(value: float, low: float, high: float) -> float:
    """0 at ``low``, 1 at ``high``, straight between them; ``low`` may be the higher number.

    >>> ramp(3.0, 2.0, 4.0), ramp(0.0, 2.0, 4.0), ramp(1.0, 4.0, 2.0)
    (0.5, 0.0, 1.0)
    """
    return min(1.0, max(0.0, (value - low) / (high - low)))


def against_threshold(
    what: str, value: float | str | bool | None, threshold: Threshold
) -> Evidence:
    """Show a value beside the threshold that decides on it."""
    return Evidence(what, value, threshold.value, f"{threshold.unit}: {threshold.source}")
