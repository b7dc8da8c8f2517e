"""The verdict: do captions differ between clips, and does the audio decide them?"""

from __future__ import annotations

from dataclasses import dataclass

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.thresholds import LISTENING_SHARE, MIN_CLIPS
from capfix_cli.measures.measure_table import Judgement
from capfix_cli.schemas.measured_values import Evidence, Listening, Verdict


@dataclass(frozen=True)
class Decision:
    """A verdict and the comparisons behind it.

    Attributes:
        verdict: one of the four.
        differ: whether captions differ between clips as healthy ones do.
        decides: whether the audio decides them; None where listening was not measured.
        evidence: what was compared.
    """

    verdict: Verdict
    differ: bool
    decides: bool | None
    evidence: tuple[Evidence, ...]


def decide(diversity: Judgement, listening: Listening | None) -> Decision:
    """Combine the two axes; without listening only diversity is judged."""
    evidence = diversity.evidence
    decides = None
    if listening is not None:
        decides = audio_decides(listening)
        evidence = (*evidence, listening_evidence(listening))
    heard = decides is not False
    if diversity.differ:
        verdict: Verdict = "healthy" if heard else "ungrounded"
    else:
        # Without listening, repeated captions may be bland or deaf; the graver is not asserted
        # of a captioner that nobody listened to.
        verdict = "collapsed" if decides is not True else "generic"
    return Decision(verdict, diversity.differ, decides, evidence)


def audio_decides(listening: Listening) -> bool:
    """Say whether the audio decides the caption: bits reach their share of the ceiling."""
    return listening.deciding_bits >= LISTENING_SHARE.value * listening.ceiling_bits


def listening_evidence(listening: Listening) -> Evidence:
    """Show the bits that decide beside their threshold."""
    on = "own captions" if listening.deciding_bits == listening.bits else "references"
    return Evidence(
        f"listening on {on}, bits of {listening.ceiling_bits:.2f}",
        listening.deciding_bits,
        LISTENING_SHARE.value * listening.ceiling_bits,
        f"{LISTENING_SHARE.value:g} {LISTENING_SHARE.unit}: {LISTENING_SHARE.source}",
    )


def require_enough(usable: int, skipped: int) -> None:
    """Refuse to judge a captioner by a handful of clips.

    Raises:
        CapfixError: says how many more are needed.
    """
    needed = int(MIN_CLIPS.value)
    if usable >= needed:
        return
    left = f" ({skipped} skipped)" if skipped else ""
    raise CapfixError(
        f"A verdict needs at least {needed} usable clips and the folder has {usable}{left}.",
        f"Add {needed - usable} more.",
    )
