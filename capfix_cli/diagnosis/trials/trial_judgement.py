"""What keeps a way of decoding from working, the same for every captioner."""

from __future__ import annotations

from capfix_cli.diagnosis.judged_captions import Outcome
from capfix_cli.schemas.measured_values import Listening


def what_fails(outcome: Outcome) -> tuple[str, str] | None:
    """Say which axis of the verdict keeps captions from being sound.

    Returns:
        the trial's outcome in one word and in words; None where all axes are fulfilled.
    """
    decision, bits = outcome.decision, bits_of(outcome.listening)
    if decision.differ and not decision.decides:
        return "deaf", f"diverse, not listening: the audio decides only {bits}"
    if not decision.differ:
        share = decision.evidence[0].value
        heard = "listens" if decision.decides else "does not listen"
        return (
            "repeats",
            f"captions still repeat ({percent(share)} distinct) and it {heard} ({bits})",
        )
    if not decision.sentences:
        return "degenerate", f"captions are no sentences: {decision.degenerate}"
    return None


def bits_of(listening: Listening | None) -> str:
    """The bits that decide, beside their ceiling."""
    if listening is None:
        return "not measured"
    return f"{listening.deciding_bits:.2f} of {listening.ceiling_bits:.2f} bits"


def percent(share: object) -> str:
    """A share as percent; anything else as it is."""
    return f"{100 * share:.0f} %" if isinstance(share, float) else str(share)
